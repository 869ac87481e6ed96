"""A connection that tells of each request it answered: the access log's view of HTTP.

A server without an access log makes plain connections, which know nothing of this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from serving.errors import BadQueryError, RefusedError
from serving.http.connection import HttpConnection
from serving.http.exchange import Body, Exchange, Head, Response
from serving.http.parser import CachedHead, RequestCycle
from serving.http.shared import Shared

__all__ = ["GONE", "LoggedConnection", "RequestEntry"]

GONE = 499
"""the status, in logs only, of a request whose caller left before its answer"""


class RequestEntry(NamedTuple):
    """One request and what it was answered with. Of its headers only the caller's name is kept."""

    peer: str
    """HOST:PORT"""
    method: str
    """empty, and the path too, for bytes that were no whole request head"""
    path: str
    client: bytes
    """`x-client-id`, as it was sent"""
    status: int
    spent_s: float | None
    """from its head to its answer; None where the answer did not wait for its body"""


class LoggedConnection(HttpConnection):
    """Calls `on_request` once for each request, when its answer is known and, where the body was
    read, in the task that made the answer."""

    __slots__ = ("_on_request", "_peer")

    def __init__(self, on_request: Callable[[RequestEntry], None], shared: Shared) -> None:
        super().__init__(shared)
        self._on_request = on_request
        self._peer = "?"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is up."""
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._peer = f"{peer[0]}:{peer[1]}"
        super().connection_made(transport)

    def _take_cached(self, cached: CachedHead, data: bytes) -> None:
        super()._take_cached(cached._replace(begin=partial(self._begin, cached)), data)

    def _begin(self, cached: CachedHead) -> Response | Exchange:
        began_s = time.monotonic()
        begun = cached.begin()
        if isinstance(begun, Exchange):
            return self._watched(cached.head, begun, began_s)
        self._tell(cached.head, begun.status, time.monotonic() - began_s)
        return begun

    def _dispatch(self, cycle: RequestCycle) -> None:
        began_s = time.monotonic()
        super()._dispatch(cycle)
        if cycle.exchange is not None:
            cycle.exchange = self._watched(cycle.head, cycle.exchange, began_s)
        elif cycle.response is not None:
            self._tell(cycle.head, cycle.response.status, time.monotonic() - began_s)

    def _decline(self, cycle: RequestCycle, error: BadQueryError | RefusedError) -> None:
        super()._decline(cycle, error)
        if cycle.response is not None:
            self._tell(cycle.head, cycle.response.status, None)

    def _refuse(self, status: int, reason: str, message: str) -> None:
        super()._refuse(status, reason, message)
        self._tell(None, status, None)

    def _watched(self, head: Head, exchange: Exchange, began_s: float) -> Exchange:
        async def answer(body: Body) -> Response:
            status = 500  # which the connection makes of an exchange that fails
            try:
                response = await exchange.answer(body)
                status = response.status
                return response
            except asyncio.CancelledError:
                status = GONE
                raise
            finally:
                self._tell(head, status, time.monotonic() - began_s)

        return exchange._replace(answer=answer)

    def _tell(self, head: Head | None, status: int, spent_s: float | None) -> None:
        method, path, client = "", "", b""
        if head is not None:
            method, path = head.method, head.path
            client = head.headers.get(b"x-client-id", b"")
        self._on_request(RequestEntry(self._peer, method, path, client, status, spent_s))
