"""Spans of one node, made with OpenTelemetry and handed to its exporters.

The node's own clock stands still with the process and is no date; spans have dates. So they are on
the wall clock that the host had when tracing began, plus what the node's clock has counted since.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serving.errors import RefusedError
from serving.tracing.active import LINK, ActiveSpan, Value

__all__ = ["NodeTracing"]

_HEADER = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()


class NodeTracing:
    """Begins the spans of the queries that come to one node.

    `share` of the queries without a `traceparent` are traced, chosen by `random`. `processor` takes
    the spans that have ended; it must not block.
    """

    def __init__(
        self,
        node: str,
        share: float,
        processor: SpanProcessor,
        clock: Callable[[], float] = time.monotonic,
        wall_clock_ns: Callable[[], int] = time.time_ns,
        chance: Callable[[], float] = random.random,
    ) -> None:
        resource = Resource.create({"service.name": "j3o-testbed", "service.instance.id": node})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("j3o-testbed")
        self._share = share
        self._clock = clock
        self._zero_ns = wall_clock_ns() - round(clock() * 1e9)
        self._chance = chance

    def begin(
        self, name: str, traceparent: str, values: Mapping[str, Value], start_s: float | None = None
    ) -> ActiveSpan | None:
        """The span of a query that came to this node with that header, or "" without one, at
        `start_s` or now; None if it is not traced. A header that is none counts as none."""
        parent = Context()
        if traceparent:
            parent = _PROPAGATOR.extract({_HEADER: traceparent}, parent)
            known = get_current_span(parent).get_span_context()
            if known.is_valid and not known.trace_flags.sampled:
                return None
            traced = known.is_valid
        else:
            traced = False
        if not traced and self._chance() >= self._share:
            return None
        begun_s = self._clock() if start_s is None else start_s
        return self._start(name, parent, SpanKind.SERVER, values, begun_s)

    def close(self) -> None:
        """Hand on what has ended, and stop."""
        self._provider.shutdown()

    def _start(
        self,
        name: str,
        parent: Context,
        kind: SpanKind,
        values: Mapping[str, Value] | None,
        start_s: float,
    ) -> _NodeSpan:
        span = self._tracer.start_span(
            name, parent, kind, attributes=dict(values or {}), start_time=self._ns(start_s)
        )
        assert isinstance(span, Span)  # all that is asked for here is sampled
        return _NodeSpan(self, span)

    def _ns(self, time_s: float) -> int:
        return self._zero_ns + round(time_s * 1e9)

    def _now_ns(self) -> int:
        return self._ns(self._clock())


class _NodeSpan:
    """`ActiveSpan` as a span of OpenTelemetry."""

    __slots__ = ("_span", "_tracing")

    def __init__(self, tracing: NodeTracing, span: Span) -> None:
        self._tracing = tracing
        self._span = span

    @property
    def trace_id(self) -> str:
        """See `ActiveSpan.trace_id`."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """See `ActiveSpan.traceparent`."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, self._context)
        return carrier[_HEADER]

    def begin(self, name: str, values: Mapping[str, Value] | None = None) -> ActiveSpan:
        """See `ActiveSpan.begin`."""
        kind = SpanKind.CLIENT if name == LINK else SpanKind.INTERNAL
        return self._tracing._start(name, self._context, kind, values, self._tracing._clock())

    def add(
        self, name: str, start_s: float, end_s: float, values: Mapping[str, Value] | None = None
    ) -> None:
        """See `ActiveSpan.add`."""
        part = self._tracing._start(name, self._context, SpanKind.INTERNAL, values, start_s)
        part._span.end(self._tracing._ns(end_s))

    def note(self, name: str, values: Mapping[str, Value] | None = None) -> None:
        """See `ActiveSpan.note`."""
        self._span.add_event(name, dict(values or {}), self._tracing._now_ns())

    def tell(self, values: Mapping[str, Value]) -> None:
        """See `ActiveSpan.tell`."""
        self._span.set_attributes(dict(values))

    def end(self, fault: BaseException | None = None) -> None:
        """See `ActiveSpan.end`."""
        if fault is not None:
            reason = str(fault.reason) if isinstance(fault, RefusedError) else type(fault).__name__
            self._span.set_attribute("refused", reason)
            self._span.set_status(Status(StatusCode.ERROR, str(fault)[:200]))
        self._span.end(self._tracing._now_ns())

    @property
    def _context(self) -> Context:
        return set_span_in_context(self._span, Context())
