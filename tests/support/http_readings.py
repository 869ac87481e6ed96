"""The requests that a stream of bytes holds: as h11 reads them, and as our parser does.

What we forgive and h11 does not is put right before h11 sees it: empty lines before a request, and
two spaces on its first line; a query without a sign in it is none. None of this changes where a
request begins, what it asks, or where it ends (RFC 9112, 2.2 and 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import h11

from serving.errors import BadQueryError
from serving.http.exchange import Head, Response, respond
from serving.http.limits import Limits
from serving.http.parser import HeadCache, RequestParser

__all__ = [
    "BODIES", "ENDS", "HEADERS", "LINES", "Reading", "Request", "by_h11", "by_us", "compare",
    "cut_at",
]  # fmt: skip

LINES = (
    b"GET / HTTP/1.1", b"POST /a HTTP/1.1", b"POST /a?b=c HTTP/1.0", b"GET / HTTP/2.0",
    b"GET / HTTP/1.2", b"get / HTTP/1.1", b"GET /",
    b"GET / http/1.1", b"PUT /x HTTP/1.1", b" GET / HTTP/1.1", b"G\0T / HTTP/1.1",
    b"POST /a?b=c#d HTTP/1.1", b"GET / RTSP/1.0", b"POST /a RTSP/1.1", b"SOURCE / ICE/1.0",
    b"DESCRIBE /a RTSP/1.0",
)  # fmt: skip
HEADERS = (
    b"Host: x", b"host: y", b"Content-Length: 3", b"content-length: 3", b"Content-Length: 03",
    b"Content-Length: +3", b"Content-Length: 3, 3", b"Content-Length: 4", b"Content-Length: -1",
    b"Content-Length: " + b"0" * 30 + b"3", b"Content-Length: " + b"9" * 25,
    b"Content-Length : 3", b"Content-Length: 0x3", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: CHUNKED",
    b"Connection: close", b"Connection: keep-alive", b"Expect: 100-continue", b"X: y", b"X:",
    b"X y: z", b"X: a\0b", b": novalue", b"X: a\rb", b"\tX: folded", b"Authorization: Bearer t",
)  # fmt: skip
BODIES = (
    b"", b"abc", b"ab", b"abcd", b"3\r\nabc\r\n0\r\n\r\n", b"3;x=y\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"3\r\nabcd\r\n0\r\n\r\n", b"g\r\nx",
)  # fmt: skip
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r")
"""parts of requests, right and wrong; of ends of lines the right one is the most frequent"""


class Request(NamedTuple):
    method: bytes
    target: bytes
    """path and query; of the path every %XX is read but %2F, which is no separator"""
    body: bytes


class Reading(NamedTuple):
    """The whole requests of a stream, and whether what follows them was refused; `idle` if nothing
    but empty lines does."""

    requests: tuple[Request, ...]
    refused: bool
    idle: bool = False


def by_h11(stream: bytes) -> Reading:
    """As a server on h11 that answers each request."""
    requests: list[Request] = []
    rest: bytes | None = stream
    while rest is not None:
        try:
            request, rest = _first_by_h11(_put_right(rest))
        except h11.RemoteProtocolError:
            return Reading(tuple(requests), True)
        if request is not None:
            requests.append(request)
    return Reading(tuple(requests), False)


def _put_right(rest: bytes) -> bytes:
    """`rest` without the empty lines before its first request, with one space between words."""
    rest = re.sub(rb"\A[\r\n]+", b"", rest)
    line = re.match(rb"[^\r\n]*", rest)
    words = line[0] if line else b""
    return re.sub(rb"(?<=[^ ]) +(?=[^ ])", b" ", words) + rest[len(words) :]


def _first_by_h11(stream: bytes) -> tuple[Request | None, bytes | None]:
    """The first whole request, and what follows it if another may."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=Limits().head_bytes)
    connection.receive_data(stream)
    method = target = body = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            method, target = event.method, event.target
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            # As a server that answers: whether it may read on is known only then.
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            ended = connection.our_state is h11.MUST_CLOSE
            rest = None if ended else connection.trailing_data[0]
            return Request(method, _read_percent(target), body), rest
        else:  # more is needed, or the caller is done
            return None, None


def _read_percent(target: bytes) -> bytes:
    path, mark, query = target.partition(b"?")
    path = re.sub(rb"%(?!2[fF])([0-9a-fA-F]{2})", lambda m: bytes.fromhex(m[1].decode()), path)
    return re.sub(rb"%2[fF]", b"%2F", path) + (mark + query if query else b"")


def _begin() -> Response:
    return respond(200, [], b"")


def by_us(pieces: Iterable[bytes]) -> Reading:
    """As a connection does, whose caller sends the `pieces`: heads that came before are known."""
    cache = HeadCache()
    parser = RequestParser(Limits(), cache)
    requests: list[Request] = []
    refused = False
    for piece in pieces:
        if not parser.cycles and (cached := parser.find_cached(piece)) is not None:
            requests.append(_request(cached.head, piece[cached.body_start :]))
            continue
        try:
            parser.feed(piece)
        except BadQueryError:
            refused = True
        while parser.cycles and (cycle := parser.cycles[0]).whole:
            cache.keep(cycle, _begin)
            requests.append(_request(cycle.head, b"".join(cycle.parts)[cycle.body_start :]))
            parser.cycles.popleft()
            if not cycle.keep_alive:  # as its connection does: the rest is not looked at
                return Reading(tuple(requests), refused)
        if refused:
            break
    return Reading(tuple(requests), refused, parser._between and not refused)


def _request(head: Head, body: bytes) -> Request:
    target = head.path.encode() + (b"?" + head.query if head.query else b"")
    return Request(head.method.encode(), target, body)


def cut_at(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """The stream in pieces."""
    cuts = sorted({0, len(stream), *(place for place in places if place < len(stream))})
    return [stream[low:high] for low, high in pairwise(cuts)]


def compare(stream: bytes, pieces: Iterable[bytes]) -> None:
    """Raise `AssertionError` if we read another request than h11, or one that it refuses."""
    theirs, ours = by_h11(stream), by_us(pieces)
    assert ours.requests == theirs.requests[: len(ours.requests)], stream
    if theirs.refused:
        assert ours.refused or ours.idle, stream
