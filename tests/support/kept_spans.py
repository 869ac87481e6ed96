"""Tracing of nodes whose spans a test reads."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serving.tracing.node_tracing import NodeTracing

__all__ = ["KeptSpans"]


class KeptSpans:
    """The ended spans of some nodes. `chance` is what the nodes draw for a query that comes without
    a header, of which `share` is traced."""

    def __init__(self, share: float = 1.0, chance: float = 0.5) -> None:
        self._exporter = InMemorySpanExporter()
        self._share, self._chance = share, chance

    def of_node(self, node: str) -> NodeTracing:
        """The tracing of a node."""
        processor = SimpleSpanProcessor(self._exporter)
        return NodeTracing(node, self._share, processor, chance=lambda: self._chance)

    @property
    def all(self) -> list[ReadableSpan]:
        """In the order in which they ended."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of a name."""
        return [span for span in self.all if span.name == name]

    def path_of(self, span: ReadableSpan) -> str:
        """`query/link/serve`: the names of what it is part of, and its own."""
        by_id = {each.context.span_id: each for each in self.all}
        names = [span.name]
        while span.parent is not None and span.parent.span_id in by_id:
            span = by_id[span.parent.span_id]
            names.insert(0, span.name)
        return "/".join(names)
