"""What passes between an HTTP connection and what it serves: a head, perhaps a body, an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple, Protocol

__all__ = ["Application", "Begin", "Body", "Exchange", "Head", "Headers", "Response", "respond"]

Body = bytes | memoryview
Headers = list[tuple[bytes, bytes]]

STATUS_LINES = {
    int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Head(NamedTuple):
    """A request's line and headers; `path` is decoded, header names are in lower case."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]


class Response(NamedTuple):
    """A whole answer, made by `respond`."""

    status: int
    head: bytes
    """status line and headers, without the empty line behind them"""
    body: bytes


class Exchange(NamedTuple):
    """A request whose body is to be read: `answer` takes it. `headers` goes out with whatever the
    answer cycles out to be, also where the body is never whole."""

    headers: Headers
    answer: Callable[[Body], Awaitable[Response]]


Begin = Callable[[], Response | Exchange]
"""begins an exchange: gives the answer, if the head is enough for one"""


class Application(Protocol):
    """What a connection serves. `Exchange.answer` is cancelled with its caller."""

    def read(self, head: Head) -> Begin:
        """What to do for each request that comes with this head.

        It is kept and called again for requests whose heads are the same bytes, so whatever may
        change is looked at when it is called.
        """
        ...


def respond(status: int, headers: Headers, body: bytes) -> Response:
    """An answer. Nothing that a caller sent may stand in `headers` unless it was found to be
    printable."""
    lines = [STATUS_LINES[status]]
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    return Response(status, b"".join(lines), body)
