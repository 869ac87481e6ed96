"""Bytes of a connection into requests: grammar (httptools, that is llhttp) and bounds on heads.

A caller sends the same head with every query. One that was read before, and comes again in one
piece with its body, is not parsed again: its bytes say which it is.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import httptools

from serving.errors import BadQueryError
from serving.http.exchange import Begin, Exchange, Head, Response
from serving.http.limits import Limits

__all__ = ["CachedHead", "HeadCache", "RequestCycle", "RequestParser"]

END = b"\r\n\r\n"
PASSING = {b"x-request-id", b"transfer-encoding"}
"""headers of heads that do not come again, or whose body's length is not in them"""


class RequestCycle:
    """One request, from its head to its answer."""

    __slots__ = (
        "body_start", "exchange", "head", "held_bytes", "keep_alive", "parts", "raw_head",
        "response", "size_bytes", "started", "whole", "written",
    )  # fmt: skip

    def __init__(self, head: Head, keep_alive: bool) -> None:
        self.head = head
        self.keep_alive = keep_alive
        self.parts: list[bytes] = []
        """of the body; dropped once there is a response"""
        self.body_start = 0
        """where in them the body begins"""
        self.raw_head = b""
        """its bytes, if it may become cached"""
        self.size_bytes = 0
        self.held_bytes = 0
        """of what the server's connections hold of bodies that have come in part"""
        self.whole = False
        """whether the body has come"""
        self.exchange: Exchange | None = None
        """set once the head was handed on, if the body is wanted"""
        self.started = False
        """whether the body was handed on"""
        self.response: Response | None = None
        self.written = False


class CachedHead(NamedTuple):
    """A head that was read before, and what to do for requests that come with it."""

    head: Head
    begin: Begin
    body_start: int
    """length of the head"""
    body_bytes: int

    def cycle(self, data: bytes, exchange: Exchange) -> RequestCycle:
        """The request that `data` is."""
        cycle = RequestCycle(self.head, keep_alive=True)
        cycle.exchange = exchange
        cycle.parts.append(data)
        cycle.body_start = self.body_start
        cycle.size_bytes = self.body_bytes
        cycle.whole = True
        return cycle


class HeadCache:
    """Heads that were read, by their bytes, with what to do for requests that come with them."""

    MOST = 256
    LONGEST_BYTES = 1_024

    def __init__(self) -> None:
        self._cached: dict[bytes, CachedHead] = {}

    def keep(self, cycle: RequestCycle, begin: Begin) -> None:
        """Know the head of `cycle` from now on, if it is one that may come again."""
        if cycle.raw_head:
            if len(self._cached) >= self.MOST:
                self._cached.clear()
            raw = cycle.raw_head
            self._cached[raw] = CachedHead(cycle.head, begin, len(raw), cycle.size_bytes)

    def find(self, data: bytes) -> CachedHead | None:
        """The cached head of `data`, if it has one and is just one request."""
        body_start = data.find(END, 0, self.LONGEST_BYTES) + len(END)
        cached = self._cached.get(data[:body_start])
        if cached is None or len(data) - body_start != cached.body_bytes:
            return None
        return cached


class RequestParser:
    """Fills `cycles` with the requests whose heads have come, oldest first; its owner takes them
    out."""

    __slots__ = (
        "_between",
        "_cached",
        "_fault",
        "_header_bytes",
        "_header_count",
        "_headers",
        "_limits",
        "_parser",
        "_url",
        "cycles",
        "ended",
        "head_bytes",
        "heads",
        "in_body",
        "in_head",
    )  # fmt: skip

    def __init__(self, limits: Limits, cached: HeadCache) -> None:
        self.cycles: deque[RequestCycle] = deque()
        self.heads = 0
        """that were whole, ever"""
        self.in_head, self.in_body = True, False
        self.ended = False
        """whether nothing that follows is read: after the last request"""
        self.head_bytes = 0
        """of a head that is not whole yet"""
        self._limits = limits
        self._cached = cached
        self._between = True
        """whether the parser waits for a request's first byte"""
        self._parser = httptools.HttpRequestParser(self)
        self._fault = BadQueryError(400, "this is not HTTP/1.1")
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_count = self._header_bytes = 0

    def feed(self, data: bytes) -> None:
        """Raises `BadQueryError` for what is no request, or has too long a head."""
        between, heads = self._between, self.heads
        self._parse(data)
        if between and self.heads == heads + 1:
            _name_head(self.cycles[-1], data)

    def find_cached(self, data: bytes) -> CachedHead | None:
        """The cached head of `data`, if that is one whole request; it is not to be fed then."""
        cached = self._cached.find(data) if self._between else None
        if cached is not None:
            self.in_head = False
        return cached

    def _parse(self, data: bytes) -> None:
        unfinished = self.in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Another protocol was offered and is not taken up; what follows is not parsed.
            cycle = self.cycles[-1]
            if cycle.head.headers.keys() & {b"content-length", b"transfer-encoding"}:
                self.cycles.pop()
                raise BadQueryError(400, "expected no `upgrade` with a body") from None
            self.ended = True
            cycle.keep_alive = False
        except httptools.HttpParserError:
            if not self.ended:
                raise self._fault from None
        if self.in_head:
            # Of a chunk in which the head began, some bytes are the end of the request before it.
            self.head_bytes = self.head_bytes + len(data) if unfinished else 0
            most = self._limits.head_bytes
            if self.head_bytes > most:
                raise BadQueryError(431, f"the head is over {most} bytes")

    def on_message_begin(self) -> None:
        """httptools: a request starts."""
        self._url, self._headers, self._header_count, self._header_bytes = b"", {}, 0, 0
        self.in_head = True
        self._between = False

    def on_url(self, url: bytes) -> None:
        """httptools: a piece of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header."""
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """httptools: a request's head is whole."""
        self.in_head, self.in_body, self.head_bytes = False, True, 0
        self.heads += 1
        limits, parser = self._limits, self._parser
        size_bytes = len(self._url) + self._header_bytes
        if self._header_count > limits.headers or size_bytes > limits.head_bytes:
            self._fault = BadQueryError(
                431,
                f"expected at most {limits.headers} headers and {limits.head_bytes} bytes of them",
            )
            raise self._fault
        path, query = _split_url(self._url)
        head = Head(parser.get_method().decode("ascii"), path, query, self._headers)
        keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        self.cycles.append(RequestCycle(head, keep_alive))

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of a request's body."""
        cycle = self.cycles[-1]
        if cycle.response is None:
            cycle.parts.append(body)
            cycle.size_bytes += len(body)

    def on_message_complete(self) -> None:
        """httptools: a request's body is whole."""
        self.in_body = False
        self._between = True
        cycle = self.cycles[-1]
        cycle.whole = True
        if not cycle.keep_alive:
            self.ended = True


def _name_head(cycle: RequestCycle, data: bytes) -> None:
    """Note the head's bytes where `data` is this request and nothing else, as it may come again."""
    body_start = data.find(END, 0, HeadCache.LONGEST_BYTES) + len(END)
    if (
        cycle.whole
        and cycle.keep_alive
        and cycle.head.method != "HEAD"
        and body_start >= len(END)
        and len(data) - body_start == cycle.size_bytes
        and cycle.head.headers.keys().isdisjoint(PASSING)
    ):
        cycle.raw_head = data[:body_start]


@lru_cache(maxsize=64)
def _split_url(url: bytes) -> tuple[str, bytes]:
    """The decoded path and the query of a request's target. Raises what httptools does."""
    parts = httptools.parse_url(url)
    path = parts.path or b"/"
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("utf-8", "replace"), parts.query or b""
