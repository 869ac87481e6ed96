"""Where the time of a traced query went on a device, as parts of its span."""

from __future__ import annotations

from collections.abc import Mapping

from serving.node.device.served import Served
from serving.tracing.active import ActiveSpan

__all__ = ["add_stages"]


def add_stages(span: ActiveSpan, model: str, queued_s: float, served: Mapping[str, Served]) -> None:
    """The wait for its batch to close, the batch's wait for the device, and the pass, of a query
    that was queued at `queued_s` and has its answers now."""
    first = next(iter(served.values()))  # all tasks of an image share the pass
    closed_s = queued_s + first.queue_s
    started_s = closed_s + first.batch_wait_s
    span.add("queue", queued_s, closed_s, {"model": model})
    span.add("batch", closed_s, started_s, {"size": first.batch_size})
    span.add("pass", started_s, started_s + first.compute_s, {"model": model})
