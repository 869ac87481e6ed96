"""What a door grants to whoever knocks: bytes, seconds and connections."""

from __future__ import annotations

import resource
from dataclasses import dataclass

__all__ = ["Limits"]

SPARE_FILES = 256
"""file descriptors that are left to the rest of the process"""


@dataclass(frozen=True)
class Limits:
    """Bounds on what one caller, and all of them together, may hold of the process."""

    body_bytes: int = 8 * 2**20
    message_bytes: int = 4 * 2**20
    """of one gRPC message, which grpc copies twice on the event loop; its own default"""
    json_bytes: int = 2**18
    """of JSON in a body: numbers as text keep the event loop busy, raw tensors do not"""
    images: int = 64
    """images of one request"""
    head_bytes: int = 32 * 2**10
    """request line and headers"""
    headers: int = 64
    head_s: float = 10.0
    """for a whole request head, from its first byte, or from the connection's start"""
    body_s: float = 20.0
    """for a whole body, from its head"""
    idle_s: float = 60.0
    """between two requests of one connection"""
    write_s: float = 20.0
    """for a caller to take up an answer once the socket's buffers are full"""
    pipelined: int = 128
    """requests that a connection may send ahead of its answers"""
    connections: int = 10_000
    gathered_bytes: int = 256 * 2**20
    """of bodies that have come in part, over all connections"""
    decoding: int = 32
    """large pictures that may wait to be decoded"""
    streams: int = 1_024
    """gRPC calls in flight, over all connections"""

    def longest_message_bytes(self, size: tuple[int, int]) -> int:
        """What a gRPC message may have: as many raw images of `size` (height, width) as may come
        at once, and as much beside them as JSON may have, within the other bounds."""
        images_bytes = self.images * size[0] * size[1] * 3
        return min(self.body_bytes, self.message_bytes, images_bytes + self.json_bytes)

    @property
    def affordable_connections(self) -> int:
        """`connections`, or what the process's file descriptors allow."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return max(1, min(self.connections, soft - SPARE_FILES))
