"""Bytes into requests: cache heads change nothing but the time it takes."""

from __future__ import annotations

from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import BadQueryError
from serving.http.exchange import Body, Exchange, Response, respond
from serving.http.limits import Limits
from serving.http.parser import LENGTH_DIGITS, CachedHead, HeadCache, RequestParser

HEADS = (
    b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    b"POST /b?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
    b"POST /b HTTP/1.1\r\nhost: x\r\nx-request-id: 7\r\ncontent-length: 3\r\n\r\n",
    b"GET /c HTTP/1.1\r\nhost: x\r\n\r\n",
)
CHUNKED = b"POST /d HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
HEAD = HEADS[4].replace(b"GET", b"HEAD")
LAST = b"GET /e HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
BODIES = (b"one", b"\r\n\r", b"POS")


async def refuse(body: Body) -> Response:
    return respond(503, [], b"")


NOTHING = Exchange([], refuse)


def begin() -> Response:
    return respond(200, [], b"")


def read(pieces: list[bytes], cache: HeadCache) -> list[tuple[object, ...]]:
    """The requests in `pieces`, each kept as its connection would keep it."""
    parser = RequestParser(Limits(), cache)
    found: list[tuple[object, ...]] = []
    for piece in pieces:
        if (found_again := parser.find_cached(piece)) is not None:
            parser.cycles.append(found_again.cycle(piece, NOTHING))
            parser.heads += 1
        else:
            parser.feed(piece)
        while parser.cycles and (cycle := parser.cycles[0]).whole:
            if cycle.exchange is None:
                cache.keep(cycle, begin)
            body = b"".join(cycle.parts)[cycle.body_start :]
            found.append((cycle.head, body, cycle.size_bytes, cycle.keep_alive))
            parser.cycles.popleft()
    found.append((parser.heads, parser.in_head, parser.in_body, len(parser.cycles)))
    return found


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, len(HEADS) + 1))
    if kind == len(HEADS):
        body = draw(st.sampled_from(BODIES))
        return CHUNKED % (len(body), body)
    if kind > len(HEADS):
        return b"\r\n" + HEADS[4]  # an empty line before a request is forgiven
    return HEADS[kind] + (
        draw(st.sampled_from(BODIES)) if b"length: 3" in HEADS[kind].lower() else b""
    )


@given(st.lists(requests(), min_size=1, max_size=8), st.data())
def test_known_or_not_and_cut_anyhow_the_requests_are_the_same(
    sent: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(sent)
    starts = [sum(map(len, sent[:count])) for count in range(1, len(sent))]
    places = st.one_of(st.sampled_from(starts or [0]), st.integers(0, len(stream)))
    cuts = sorted({0, len(stream), *data.draw(st.lists(places, max_size=12))})
    pieces = [stream[low:high] for low, high in pairwise(cuts)]
    cache = HeadCache()
    read(sent, cache)  # one to a piece, so all are cache that can be
    expected = read([stream[place : place + 1] for place in range(len(stream))], HeadCache())
    assert read(pieces, cache) == expected


def test_a_known_head_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = HeadCache()
    first = read([HEADS[0] + b"one"], cache)

    class Unused:
        def __init__(self, _: object) -> None:
            pass

    monkeypatch.setattr(httptools, "HttpRequestParser", Unused)
    again = read([HEADS[0] + b"two", HEADS[0] + b"six"], cache)
    assert [body for _, body, *_ in again[:2]] == [b"two", b"six"]
    assert again[0][0] == first[0][0]
    with pytest.raises(AttributeError):
        read([HEADS[0] + b"two" + HEADS[0]], cache)  # more than one request is read as before


@pytest.mark.parametrize(
    "sent",
    [
        HEADS[3] + b"one",
        CHUNKED % (3, b"one"),
        LAST,
        HEAD,
        HEADS[0][:-2] + b"x: %a" % ("y" * 2_000),
    ],
)
def test_heads_that_do_not_come_again_are_not_kept(sent: bytes) -> None:
    cache = HeadCache()
    read([sent], cache)
    assert cache.find(sent) is None


def test_no_more_heads_are_known_than_there_is_room_for() -> None:
    cache = HeadCache()
    for number in range(10 * HeadCache.MOST):
        read([b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number], cache)
    kept = [
        cache.find(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % n) for n in range(10 * HeadCache.MOST)
    ]
    assert 0 < len([cycle for cycle in kept if isinstance(cycle, CachedHead)]) <= HeadCache.MOST


def test_what_is_no_request_is_refused_after_a_known_one_too() -> None:
    parser = RequestParser(Limits(), cache := HeadCache())
    parser.feed(HEADS[4])
    cache.keep(parser.cycles.popleft(), begin)
    assert parser.find_cached(HEADS[4]) is not None
    with pytest.raises(BadQueryError, match="not HTTP"):
        parser.feed(b"nonsense\r\n\r\n")


def test_every_head_is_counted() -> None:
    """A connection ends its wait for a head when the count rises."""
    parser = RequestParser(Limits(), HeadCache())
    for count in (1, 2, 3):
        parser.feed(HEADS[0] + BODIES[0])
        assert parser.heads == count


def test_within_a_head_no_known_head_is_looked_for() -> None:
    """Its bytes belong to the head that has begun, whatever they look like."""
    known, cache = HEADS[0] + BODIES[0], HeadCache()
    first = RequestParser(Limits(), cache)
    first.feed(known)
    cache.keep(first.cycles[0], begin)
    assert RequestParser(Limits(), cache).find_cached(known) is not None
    within = RequestParser(Limits(), cache)
    within.feed(b"GET /z HTTP/1.1\r\nx: ")
    assert within.find_cached(known) is None


@pytest.mark.parametrize(("digits", "is_read"), [(LENGTH_DIGITS, True), (LENGTH_DIGITS + 1, False)])
def test_a_length_may_have_so_many_digits(digits: int, is_read: bool) -> None:
    parser = RequestParser(Limits(), HeadCache())
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %s\r\n\r\n" % b"3".rjust(digits, b"0")
    if is_read:
        parser.feed(head)
        assert len(parser.cycles) == 1
    else:
        with pytest.raises(BadQueryError, match="content-length"):
            parser.feed(head)
