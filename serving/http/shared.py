"""What the connections of one server share: the application, the limits, and what they hold."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Protocol

from serving.http.exchange import Application
from serving.http.limits import Limits
from serving.http.parser import HeadCache
from serving.logs.logger import NodeLogger

__all__ = ["Connection", "Shared"]

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """What a server may ask of a connection."""

    def finish(self) -> None:
        """Close once what is being answered is."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


@dataclass
class Shared:
    """What the connections of one server have in common."""

    app: Application
    limits: Limits
    connections: set[Connection] = field(default_factory=set)
    gathered_bytes: int = 0
    """of bodies that have come in part"""
    cached: HeadCache = field(default_factory=HeadCache)
    node: str = ""
    """the name that the log says"""

    def __post_init__(self) -> None:
        self.affordable = self.limits.affordable_connections
        self._log = NodeLogger(_log, self.node)

    def note_fault(self, what: str) -> None:
        """Log that a caller broke the protocol or a limit; of each kind one line a minute."""
        self._log.limited(logging.INFO, what, "cut a caller off: %s", what)
