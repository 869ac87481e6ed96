"""The same bytes to our parser and to h11: where h11 refuses we refuse, and no request differs.

Two servers that read one stream as different requests let a caller smuggle one past a proxy. That
we refuse more than h11 is wanted: two headers of one name that means one thing, a chunked body
beside a length, HTTP/2.0 on the first line, and more beside a body than chunks need. That we
forgive two spaces on a request's first line and empty lines before it, where h11 does not, is
wanted too: neither changes where a request begins, what it asks, or where it ends (RFC 9112, 2.2
and 3).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import BadQueryError
from serving.http.exchange import Response, respond
from serving.http.limits import Limits
from serving.http.parser import HeadCache, RequestParser


class Request(NamedTuple):
    method: bytes
    target: bytes
    body: bytes


class Reading(NamedTuple):
    """The whole requests of a stream, and whether what follows them was refused; `idle` if nothing
    but empty lines does."""

    requests: tuple[Request, ...]
    refused: bool
    idle: bool = False


def by_h11(stream: bytes) -> Reading:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=Limits().head_bytes)
    connection.receive_data(stream)
    requests: list[Request] = []
    method = target = body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                method, target, body = event.method, event.target, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests.append(Request(method, target, body))
                # As a server that answers, or it would read no further.
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return Reading(tuple(requests), False)
                connection.start_next_cycle()
            else:  # more is needed, or the caller is done
                return Reading(tuple(requests), False)
    except h11.RemoteProtocolError:
        return Reading(tuple(requests), True)


def begin() -> Response:
    return respond(200, [], b"")


def by_us(pieces: list[bytes]) -> Reading:
    cache = HeadCache()
    parser = RequestParser(Limits(), cache)
    requests: list[Request] = []
    refused = False
    for piece in pieces:
        try:
            parser.feed(piece)
        except BadQueryError:
            refused = True
        while parser.cycles and (cycle := parser.cycles[0]).whole:
            cache.keep(cycle, begin)
            path = cycle.head.path.encode() + (b"?" + cycle.head.query if cycle.head.query else b"")
            body = b"".join(cycle.parts)[cycle.body_start :]
            requests.append(Request(cycle.head.method.encode(), path, body))
            parser.cycles.popleft()
            if not cycle.keep_alive:  # as its connection does: the rest is not looked at
                return Reading(tuple(requests), refused)
        if refused:
            break
    return Reading(tuple(requests), refused, parser._between and not refused)


def compare(stream: bytes, pieces: list[bytes]) -> None:
    theirs, ours = by_h11(stream), by_us(pieces)
    assert ours.requests == theirs.requests[: len(ours.requests)], stream
    if theirs.refused:
        assert ours.refused or ours.idle, stream


LINES = st.sampled_from([
    b"GET / HTTP/1.1", b"POST /a HTTP/1.1", b"POST /a?b=c HTTP/1.0", b"GET / HTTP/2.0",
    b"GET / HTTP/1.2", b"get / HTTP/1.1", b"GET /",
    b"GET / http/1.1", b"PUT /x HTTP/1.1", b" GET / HTTP/1.1", b"G\0T / HTTP/1.1",
    b"GET / RTSP/1.0", b"POST /a RTSP/1.1", b"SOURCE / ICE/1.0", b"DESCRIBE /a RTSP/1.0",
])  # fmt: skip
HEADERS = st.sampled_from([
    b"Host: x", b"host: y", b"Content-Length: 3", b"content-length: 3", b"Content-Length: 03",
    b"Content-Length: +3", b"Content-Length: 3, 3", b"Content-Length: 4", b"Content-Length: -1",
    b"Content-Length: " + b"0" * 30 + b"3", b"Content-Length: " + b"9" * 25,
    b"Content-Length : 3", b"Content-Length: 0x3", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: CHUNKED",
    b"Connection: close", b"Connection: keep-alive", b"Expect: 100-continue", b"X: y", b"X:",
    b"X y: z", b"X: a\0b", b": novalue", b"X: a\rb", b"\tX: folded", b"Authorization: Bearer t",
])  # fmt: skip
BODIES = st.sampled_from([
    b"", b"abc", b"ab", b"abcd", b"3\r\nabc\r\n0\r\n\r\n", b"3;x=y\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"3\r\nabcd\r\n0\r\n\r\n", b"g\r\nx",
])  # fmt: skip
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    lines = [draw(LINES), *draw(st.lists(HEADERS, max_size=4))]
    if draw(st.booleans()):
        lines.insert(1, b"Host: x")
    end = draw(ENDS)
    return end.join(lines) + end + end + draw(BODIES)


@settings(max_examples=400, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=3), st.lists(st.integers(0, 400), max_size=5))
def test_where_h11_refuses_we_refuse_and_no_request_differs(
    sent: list[bytes], places: list[int]
) -> None:
    stream = b"".join(sent)
    cuts = sorted({0, len(stream), *(place for place in places if place < len(stream))})
    compare(stream, [stream[low:high] for low, high in pairwise(cuts)])


@pytest.mark.parametrize(
    "stream",
    [
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: " + b"0" * 5_000 + b"3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"GET / HTTP/2.0\r\nhost: x\r\n\r\n",
        b"GET / RTSP/1.0\r\nhost: x\r\n\r\n",
        b"GET /?a=1 RTSP/1.1\r\nhost: x\r\nx: GET /?a=1 HTTP/1.1\r\n\r\n",
        b"SOURCE / ICE/1.0\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: a\r\nauthorization: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
def test_what_a_proxy_might_read_otherwise_is_refused(stream: bytes) -> None:
    assert by_us([stream]) == Reading((), True)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_another_protocols_version_is_found_wherever_its_bytes_are_cut(size: int) -> None:
    first = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"
    twice = b"GET  /b   HTTP/1.1\r\nhost: x\r\n\r\n"
    stream = first + twice + first + b"GET /c RTSP/1.0\r\nhost: x\r\n\r\n"
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    asked = Request(b"POST", b"/a", b"abc")
    assert by_us(pieces) == Reading((asked, Request(b"GET", b"/b", b""), asked), True)


def test_a_body_is_not_kept_for_the_sake_of_the_next_head() -> None:
    parser = RequestParser(Limits(), HeadCache())
    parser.feed(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n")
    for _ in range(10):
        parser.feed(bytes(10_000))
        assert not parser._lines


def test_what_follows_a_body_in_chunks_replaces_no_header() -> None:
    parser = RequestParser(Limits(), HeadCache())
    parser.feed(
        b"POST / HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nx-request-id: other\r\nauthorization: Bearer t\r\n\r\n"
    )
    (cycle,) = parser.cycles
    assert cycle.whole
    assert b"".join(cycle.parts) == b"abc"
    assert cycle.head.headers[b"x-request-id"] == b"mine"
    assert b"authorization" not in cycle.head.headers


def test_what_stands_beside_a_body_is_bounded() -> None:
    parser = RequestParser(Limits(), HeadCache())
    parser.feed(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ")
    for _ in range(32):
        parser.feed(b"y" * 1_000)
    with pytest.raises(BadQueryError, match="too much comes between the chunks"):
        parser.feed(b"y" * 1_000)
    parser = RequestParser(Limits(), HeadCache())
    parser.feed(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(100_000):  # the smallest chunks that there are
        parser.feed(b"1\r\nx\r\n")
    assert parser.cycles[0].size_bytes == 100_000


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("framing", "sent"),
    [(b"content-length: 3", b"abc"), (b"transfer-encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n")],
)
def test_an_offer_of_another_protocol_is_passed_over(
    framing: bytes, sent: bytes, cut: bool
) -> None:
    """Java's own client and `curl --http2` make it with every request."""
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    first = b"POST /a HTTP/1.1\r\nhost: x\r\n" + offer + framing + b"\r\n\r\n" + sent
    second = b"GET /b HTTP/1.1\r\nhost: x\r\n" + offer + b"\r\n"
    stream = first + second + first
    size = 1 if cut else len(stream)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    asked = (Request(b"POST", b"/a", b"abc"), Request(b"GET", b"/b", b""))
    assert by_us(pieces) == Reading((*asked, asked[0]), False, idle=True)


def test_a_slash_that_is_written_otherwise_separates_nothing() -> None:
    parser = RequestParser(Limits(), HeadCache())
    parser.feed(b"GET /v2%2Fhealth/live%2f%20x HTTP/1.1\r\nhost: x\r\n\r\n")
    assert parser.cycles[0].head.path == "/v2%2Fhealth/live%2F x"
