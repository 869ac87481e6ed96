"""What a door grants to whoever knocks: bytes, seconds, connections, and who may enter at all."""

from __future__ import annotations

import hmac
import ipaddress
import resource
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["DoorConfig", "Limits", "is_loopback", "is_wildcard", "read_door"]

SPARE_FILES = 256
"""file descriptors that are left to the rest of the process"""
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Limits:
    """Bounds on what one caller, and all of them together, may hold of the process."""

    body_bytes: int = 8 * 2**20
    json_bytes: int = 2**20
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

    @property
    def affordable_connections(self) -> int:
        """`connections`, or what the process's file descriptors allow."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return max(1, min(self.connections, soft - SPARE_FILES))


@dataclass(frozen=True)
class DoorConfig:
    """Where a client node's doors listen, and the token that callers must bring, if any.

    Raises `ValueError` for an address that others can reach without a token.
    """

    host: str = "127.0.0.1"
    token: str | None = field(default=None, repr=False)
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if self.token is None:
            if not is_loopback(self.host):
                raise ValueError(
                    f"listening on {self.host} lets others in and needs a token: name a file that "
                    "holds one, or listen on 127.0.0.1"
                )
        elif len(self.token) < SHORTEST_TOKEN or not self.token.isascii():
            raise ValueError(f"the token needs at least {SHORTEST_TOKEN} ASCII characters")

    def admits(self, authorization: bytes | None) -> bool:
        """Whether an `Authorization` header (`Bearer TOKEN`) opens the door."""
        if self.token is None:
            return True
        return hmac.compare_digest(authorization or b"", b"Bearer " + self.token.encode())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """Whether `host` stands for every address of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def read_door(host: str | None, token_file: Path | None) -> DoorConfig | None:
    """The doors of a command's options; None if it has none. Raises `ValueError`."""
    if host is None and token_file is None:
        return None
    token = None
    if token_file is not None:
        try:
            token = token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the token file cannot be read: {error}") from None
    return DoorConfig(host or DoorConfig.host, token)
