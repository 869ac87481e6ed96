"""Bytes of a connection into requests: grammar (httptools, that is llhttp) and bounds on heads.

A caller sends the same head with every query. One that was read before, and comes again in one
piece with its body, is not parsed again: its bytes say which it is.
"""

from __future__ import annotations

import re
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
ONCE = frozenset({
    b"host", b"authorization", b"content-length", b"content-type", b"content-encoding", b"expect",
    b"transfer-encoding", b"inference-header-content-length", b"x-request-id", b"x-client-id",
    b"x-deadline-ms", b"traceparent",
})  # fmt: skip
"""headers that mean one thing; of two of them a proxy before the door might believe the other"""
LINE = re.compile(rb"[\r\n]*(\S+) +(\S+) +HTTP/")
LINE_BELOW = re.compile(rb"(?:\A|\n)(\S+) +(\S+) +HTTP/")
HEAD_END = re.compile(rb"\n\r?\n")
LENGTH_DIGITS = 19
OVERHEAD_PER_BYTE = 9
"""bytes of a chunked body for each byte that it carries, where chunks are as small as can be"""
PASSING = {b"x-request-id", b"traceparent", b"transfer-encoding"}
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
        "_behind_chunks", "_between", "_body_fed", "_body_seen", "_cached", "_fault",
        "_header_bytes", "_header_count", "_headers", "_limits", "_line_at", "_lines", "_parser",
        "_repeated", "_resuming", "_url", "cycles", "ended", "head_bytes", "heads", "in_body",
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
        self._body_fed = self._body_seen = 0
        """bytes that came since a body began, and those of them that are the body's"""
        self._repeated = b""
        """a header that came twice and means one thing"""
        self._resuming = False
        """whether the parser is shown a head once more, behind an offer that is not taken up"""
        self._lines = b""
        """bytes in which the next head's first line stands"""
        self._line_at = 0
        """where in them, or from where on, `_behind_chunks` of a body of unknown length"""
        self._behind_chunks = False

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
        unfinished, heads, in_body = self.in_head, self.heads, self.in_body
        self._lines, self._line_at = self._lines[self._line_at :] + data, 0
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if not self.ended:
                raise self._fault from None
        if not self.in_head:
            self._lines = b""
        if self.in_head:
            # Of a chunk in which the head began, some bytes are the end of the request before it.
            self.head_bytes = self.head_bytes + len(data) if unfinished else 0
            most = self._limits.head_bytes
            if self.head_bytes > most:
                raise BadQueryError(431, f"the head is over {most} bytes")
        elif self.in_body and in_body and heads == self.heads:
            self._body_fed += len(data)
            free = self._limits.head_bytes + OVERHEAD_PER_BYTE * self._body_seen
            if self._body_fed > free:
                raise BadQueryError(431, "too much comes between the chunks of the body, or after")

    def _feed(self, data: bytes) -> None:
        """Parse, passing over offers of another protocol (`Upgrade: h2c`), which a server may
        ignore. The parser stops behind the head of one, so a fresh one goes on from there."""
        rest: bytes | memoryview = data
        while True:
            try:
                self._parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as offer:
                rest = memoryview(data)[len(data) - len(rest) + offer.args[0] :]
            cycle = self.cycles[-1]
            if cycle.head.method == "CONNECT":  # what follows would be another protocol
                cycle.keep_alive, self.ended = False, True
                return
            self._parser = httptools.HttpRequestParser(self)
            headers = cycle.head.headers
            kept = [n for n in (b"content-length", b"transfer-encoding") if n in headers]
            if kept:
                cycle.whole, self.in_body, self._between, self.ended = False, True, False, False
                self._resuming = True
                again = b"".join(b"%s: %s\r\n" % (name, headers[name]) for name in kept)
                self._parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % again)
                self._resuming = False

    def on_message_begin(self) -> None:
        """httptools: a request starts."""
        if self._resuming:
            return
        self._url, self._headers, self._header_count, self._header_bytes = b"", {}, 0, 0
        self._repeated = b""
        self.in_head = True
        self._between = False

    def on_url(self, url: bytes) -> None:
        """httptools: a piece of the request's target."""
        if not self._resuming:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header, or one that follows a body in chunks, which is passed over."""
        if self.in_body:
            return
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        name = name.lower()
        former = self._headers.get(name)
        if former is not None:
            if name in ONCE:
                self._repeated = name
            value = b", ".join((former, value))
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        """httptools: a request's head is whole."""
        if self._resuming:
            return
        self.in_head, self.in_body, self.head_bytes = False, True, 0
        self._body_fed = self._body_seen = 0
        self.heads += 1
        limits, parser, headers = self._limits, self._parser, self._headers
        size_bytes = len(self._url) + self._header_bytes
        if self._header_count > limits.headers or size_bytes > limits.head_bytes:
            raise self._refuse(
                f"expected at most {limits.headers} headers and {limits.head_bytes} bytes of them",
                431,
            )
        if b"#" in self._url:
            raise self._refuse("the target has a fragment, which callers keep to themselves")
        if self._repeated:
            raise self._refuse(f"the header {self._repeated.decode('latin-1')} comes twice")
        version = parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise self._refuse(f"expected HTTP/1.1, got HTTP/{version}")
        if not self._names_http(parser.get_method()):
            raise self._refuse("expected HTTP/1.1, got another protocol's version")
        if version == "1.1" and b"host" not in headers:
            raise self._refuse("expected a header `host`")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > LENGTH_DIGITS:
            raise self._refuse("content-length: expected a whole number of bytes")
        if headers.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            raise self._refuse("transfer-encoding: expected none, or `chunked` alone")
        try:
            path, query = _split_url(self._url)
        except UnicodeDecodeError:
            raise self._refuse("the path is not UTF-8") from None
        head = Head(parser.get_method().decode("ascii"), path, query, self._headers)
        keep_alive = version != "1.0" and parser.should_keep_alive()
        self.cycles.append(RequestCycle(head, keep_alive))

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of a request's body."""
        self._body_seen += len(body)
        if not self._behind_chunks:
            self._line_at += len(body)
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

    def _names_http(self, method: bytes) -> bool:
        """Whether the head's first line ends with HTTP's name. The parser takes RTSP's and ICE's as
        well, and does not say which it was."""
        line = LINE.match(self._lines, self._line_at)
        if self._behind_chunks:
            lines = LINE_BELOW.finditer(self._lines, self._line_at)
            line = next((one for one in lines if one.groups() == (method, self._url)), None)
        if line is None or line.groups() != (method, self._url):
            return False
        end = HEAD_END.search(self._lines, line.end())
        self._line_at = end.end() if end else len(self._lines)
        self._behind_chunks = b"transfer-encoding" in self._headers
        return True

    def _refuse(self, message: str, status: int = 400) -> BadQueryError:
        """What is wrong, to be raised here and, the parser having swallowed it, once more."""
        self._fault = BadQueryError(status, message)
        return self._fault


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
    """The decoded path and the query of a request's target. Raises what httptools does, and
    `UnicodeDecodeError` for a path that is no text."""
    parts = httptools.parse_url(url)
    path = parts.path or b"/"
    if b"%" in path:
        # A slash that is written as %2F is part of a name, of which none here has one.
        path = unquote_to_bytes(path.replace(b"%2f", b"%252F").replace(b"%2F", b"%252F"))
    return path.decode("utf-8"), parts.query or b""
