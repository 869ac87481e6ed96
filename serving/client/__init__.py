"""The Python client of a client node, for threads and for event loops."""
