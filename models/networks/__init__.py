"""The networks: backbones, heads, and which sizes of them each benchmark has."""
