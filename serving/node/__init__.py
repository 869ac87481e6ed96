"""A node at run time: its device, its links, its routes, and what may be asked of it."""
