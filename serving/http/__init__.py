"""HTTP/1.1 over asyncio: connections, parsing, limits. It knows nothing of nodes."""
