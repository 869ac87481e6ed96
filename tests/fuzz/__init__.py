"""`make fuzz`: bytes that nobody meant, to everything that reads bytes of others."""
