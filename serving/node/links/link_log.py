"""What the log says of one link: that it is made, lost, cannot be made, or gives no answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from serving.logs.logger import NodeLogger

__all__ = ["LinkLog"]

MAX_LINES = 10
"""a minute of links that are made or lost: a link may come and go faster than anybody reads"""
_log = logging.getLogger(__name__)


class LinkLog:
    """The log of the link from `node` to `peer`, on the link's clock."""

    def __init__(self, node: str, peer: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = NodeLogger(_log, node)
        self._peer = peer
        self._clock = clock
        self._apart_since_s: float | None = None
        """when the link was lost, or could first not be made; None while it is well"""

    def connected(self, host: str, port: int) -> None:
        """The far node welcomed this one."""
        again = ""
        if self._apart_since_s is not None:
            again = f" again, after {self._clock() - self._apart_since_s:.1f} s"
            self._apart_since_s = None
        message = "connected to %s at %s:%d%s"
        self._log.limited(
            logging.INFO, "connected", message, self._peer, host, port, again, burst=MAX_LINES
        )

    def unreachable(self, why: str) -> None:
        """An attempt to connect failed; under traffic there are four a second."""
        self._note_apart()
        message = "cannot connect to %s: %s"
        self._log.limited(logging.WARNING, "unreachable", message, self._peer, why)

    def lost(self, why: str, queries: int) -> None:
        """The connection went, with so many queries on it."""
        self._note_apart()
        message = "lost the link to %s: %s; queries on it: %d"
        self._log.limited(
            logging.WARNING, "lost", message, self._peer, why, queries, burst=MAX_LINES
        )

    def unanswered(self, waited_s: float) -> None:
        """A query was given up on a connection that is otherwise alive."""
        message = "%s has not answered a query for %g s"
        self._log.limited(logging.WARNING, "unanswered", message, self._peer, waited_s)

    def _note_apart(self) -> None:
        if self._apart_since_s is None:
            self._apart_since_s = self._clock()
