"""What passes between an HTTP connection and what it serves: a head, perhaps a body, an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

__all__ = ["Application", "Exchange", "Head", "Headers", "Response"]

Headers = list[tuple[bytes, bytes]]


class Head(NamedTuple):
    """A request's line and headers; `path` is decoded, header names are in lower case."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]


class Response(NamedTuple):
    """A whole answer. Nothing that a caller sent may stand in `headers` unless it was found to be
    printable."""

    status: int
    headers: Headers
    body: bytes


class Exchange(NamedTuple):
    """A request whose body is to be read: `answer` takes it. `named` goes out with whatever the
    answer turns out to be, also where the body is never whole."""

    named: Headers
    answer: Callable[[bytes], Awaitable[Response]]


class Application(Protocol):
    """What a connection serves."""

    def begin(self, head: Head) -> Response | Exchange:
        """The answer, if the head is enough for one. `answer` is cancelled with its caller."""
        ...
