"""The span that the running code works for, if its query is traced. Knows no OpenTelemetry.

A query that is traced carries its span through the event loop's tasks in a context variable, so
that nothing between the door and the device has to pass it on. A query that is not costs one look
at that variable wherever there would be something to tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

__all__ = ["LINK", "ActiveSpan", "Tracing", "Value", "active_span", "within"]

Value = str | int | float | bool

LINK = "link"
"""the name of parts of which spans of the next node are parts"""


class ActiveSpan(Protocol):
    """Something that a traced query goes through, while it does. Times are the node's clock's."""

    @property
    def trace_id(self) -> str:
        """Of the query, in 32 hexadecimal digits."""
        ...

    @property
    def traceparent(self) -> str:
        """The header that makes spans of another process parts of this one (W3C)."""
        ...

    def begin(self, name: str, values: Mapping[str, Value] | None = None) -> ActiveSpan:
        """A part of it that begins now, on its way to another node if it is a `link`."""
        ...

    def add(
        self, name: str, start_s: float, end_s: float, values: Mapping[str, Value] | None = None
    ) -> None:
        """A part of it that has ended."""
        ...

    def note(self, name: str, values: Mapping[str, Value] | None = None) -> None:
        """Something that happened now."""
        ...

    def tell(self, values: Mapping[str, Value]) -> None:
        """What is known of it."""
        ...

    def end(self, fault: BaseException | None = None) -> None:
        """It is over, with `fault` if it failed."""
        ...


class Tracing(Protocol):
    """Begins the spans of the queries that come to one node."""

    def begin(
        self, name: str, traceparent: str, values: Mapping[str, Value], start_s: float | None = None
    ) -> ActiveSpan | None:
        """The span of a query that came to this node with that header, or "" without one, at
        `start_s` or now; None if it is not traced."""
        ...

    def close(self) -> None:
        """Hand on the spans that have ended, and stop."""
        ...


_ACTIVE: ContextVar[ActiveSpan | None] = ContextVar("active_span", default=None)

active_span = _ACTIVE.get
"""The span of the running task; None where its query is not traced."""


@contextmanager
def within(span: ActiveSpan) -> Iterator[None]:
    """What runs in here works for `span`, which ends with it."""
    token = _ACTIVE.set(span)
    try:
        yield
    except BaseException as error:
        span.end(error)
        raise
    else:
        span.end()
    finally:
        _ACTIVE.reset(token)
