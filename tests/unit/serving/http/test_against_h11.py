"""The same bytes to our parser and to h11: where h11 refuses we refuse, and no request differs.

Two servers that read one stream as different requests let a caller smuggle one past a proxy. That
we refuse more than h11 is wanted: two headers of one name that means one thing, a chunked body
beside a length, HTTP/2.0 on the first line, and more beside a body than chunks need. That we
forgive two spaces on a request's first line and empty lines before it, where h11 does not, is
wanted too: neither changes where a request begins, what it asks, or where it ends (RFC 9112, 2.2
and 3).
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import BadQueryError
from serving.http.limits import Limits
from serving.http.parser import HeadCache, RequestParser
from support.http_readings import (
    BODIES,
    ENDS,
    HEADERS,
    LINES,
    Reading,
    Request,
    by_us,
    compare,
    cut_at,
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    lines = [draw(st.sampled_from(LINES)), *draw(st.lists(st.sampled_from(HEADERS), max_size=4))]
    if draw(st.booleans()):
        lines.insert(1, b"Host: x")
    end = draw(st.sampled_from(ENDS))
    return end.join(lines) + end + end + draw(st.sampled_from(BODIES))


@settings(max_examples=400, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=3), st.lists(st.integers(0, 400), max_size=5))
def test_where_h11_refuses_we_refuse_and_no_request_differs(
    sent: list[bytes], places: list[int]
) -> None:
    stream = b"".join(sent)
    compare(stream, cut_at(stream, places))


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


@pytest.mark.parametrize(
    "name",
    [
        "host", "authorization", "content-type", "content-encoding", "expect",
        "inference-header-content-length", "x-request-id", "x-client-id", "x-deadline-ms",
    ],
)  # fmt: skip
def test_a_header_that_means_one_thing_may_come_once(name: str) -> None:
    host = "" if name == "host" else "host: x\r\n"
    once = f"GET / HTTP/1.1\r\n{host}{name}: 3\r\n"
    assert by_us([f"{once}\r\n".encode()]).requests
    assert by_us([f"{once}{name}: 3\r\n\r\n".encode()]) == Reading((), True)


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
