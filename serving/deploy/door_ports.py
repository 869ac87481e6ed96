"""The ports at which a node's callers reach it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DoorPorts"]


@dataclass(frozen=True)
class DoorPorts:
    """Where a node listens for callers; a node without doors is only scraped, over HTTP."""

    http: int
    grpc: int = 0
