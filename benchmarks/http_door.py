"""HTTP/1.1 at as little cost to the generator as Python allows: kept connections, ready requests.

A generator shares memory and caches, and on many machines a physical core, with the server that
it measures; a full HTTP client took a third of a core more at the rates of the benchmark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import httptools

__all__ = ["CALL_TIMEOUT_S", "DoorError", "HttpDoor"]

CALL_TIMEOUT_S = 30.0


class DoorError(Exception):
    """A server did not answer, or with something that is neither an answer nor a refusal."""


class HttpDoor:
    """POST to `url`; a connection for every query that is out at the same time."""

    def __init__(self, url: str, bodies: Sequence[bytes], headers: Mapping[str, str]) -> None:
        self.bodies = bodies
        parts = urlsplit(url)
        self._url, self._host, self._port = url, parts.hostname or "", parts.port or 80
        lines = [f"POST {parts.path} HTTP/1.1", f"host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._head = "\r\n".join([*lines, "content-length: "]).encode()
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        for connection in list(self._open):
            connection.transport.abort()

    async def connect(self, count: int) -> None:
        """Have `count` connections open, as callers have that come back."""
        while len(self._idle) < count:
            self._idle.append(await self._connect())
            self._open.add(self._idle[-1])

    async def call(self, body: bytes) -> bytes | None:
        """The reply's body; None for 503."""
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            self._open.add(connection)
            head = b"%s%d\r\n\r\n" % (self._head, len(body))
            status, reply, reusable = await connection.ask(head, body)
        except OSError as error:
            raise DoorError(f"{self._url}: {type(error).__name__}: {error}") from None
        if reusable:
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            connection.transport.abort()
        if status == 200:
            return reply
        if status == 503:
            return None
        raise DoorError(f"{self._url}: HTTP {status}: {reply[:200]!r}")

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port)
        return connection


class _Connection(asyncio.Protocol):
    """One connection, with at most one request out."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes, bool]] | None = None
        self._body: list[bytes] = []

    async def ask(self, head: bytes, body: bytes) -> tuple[int, bytes, bool]:
        """Status, body, and whether another request may follow. Raises `OSError`."""
        if self.transport.is_closing():
            raise ConnectionResetError("the server closed an idle connection")
        self._answer = self._loop.create_future()
        timer = self._loop.call_later(
            CALL_TIMEOUT_S, self.connection_lost, TimeoutError(f"no answer in {CALL_TIMEOUT_S:g} s")
        )
        self.transport.writelines((head, body))
        try:
            return await self._answer
        finally:
            timer.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is up."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is of no class of asyncio's

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.connection_lost(ConnectionAbortedError(f"not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone, and with it the answer."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed before the answer"))
        self.transport.abort()

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """httptools: the answer is whole."""
        whole, self._body = b"".join(self._body), []
        if self._answer is not None and not self._answer.done():
            reusable = self._parser.should_keep_alive()
            self._answer.set_result((self._parser.get_status_code(), whole, reusable))
