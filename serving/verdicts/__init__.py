"""Whether what was predicted came true, number by number, and if not, what is likely to blame."""
