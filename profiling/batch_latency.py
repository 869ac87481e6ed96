"""What batches of one size take: the figures that plans use, and those that were measured."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from cluster.document import FrozenModel

__all__ = ["PAUSE_S", "BatchLatency", "MeasuredBatch", "Timed", "after_idle_s"]

PAUSE_S = 0.05
"""before a batch is timed: what 30 ms make slower on a virtual machine, 300 ms hardly do more"""


def after_idle_s(straight_s: float, paused_s: float, idle_s: float) -> float:
    """What a batch takes on a device that was idle for `idle_s` before: `straight_s` straight after
    another batch, `paused_s` after a pause of `PAUSE_S` or more, else something between them."""
    if idle_s >= PAUSE_S:
        return paused_s
    return straight_s + (paused_s - straight_s) * idle_s / PAUSE_S


class Timed(FrozenModel):
    """What a device takes: every field whose name ends in `_s` is a time of it."""

    def scaled(self, times: float) -> Self:
        """Of a device that takes `times` as long."""
        longer = {
            name: times * value
            for name, value in self
            if name.endswith("_s") and value is not None
        }  # fmt: skip
        return self.model_copy(update=longer)


class BatchLatency(Timed):
    """Latency of one batch size, over repeated runs of the device runtime after a pause."""

    batch: int = Field(ge=1)
    p50_s: float = Field(gt=0)
    p95_s: float = Field(gt=0)
    runs: int = Field(ge=1)
    straight_p50_s: float | None = Field(
        default=None,
        gt=0,
        description="median of a batch straight after another one: processors slow down in pauses; "
        "absent where that was not measured",
    )
    low_s: float | None = Field(
        default=None, gt=0, description="of the 95 % interval of the median; absent if not known"
    )
    high_s: float | None = Field(default=None, gt=0, description="its other end")

    @property
    def straight_s(self) -> float:
        """That median; the one after a pause where it was not measured."""
        return self.straight_p50_s or self.p50_s

    @property
    def interval_s(self) -> tuple[float, float]:
        """The 95 % interval of the median; the median alone where it is not known."""
        return self.low_s or self.p50_s, self.high_s or self.p50_s


class MeasuredBatch(BatchLatency):
    """The same as it was measured, with what no plan needs."""

    p99_s: float = Field(gt=0)
    first_s: float = Field(gt=0, description="the first batch of this size after the model loaded")
    settled: bool = Field(
        description="whether the interval is as narrow as was asked; else the time was spent first"
    )

    def plain(self) -> BatchLatency:
        """What plans use of it."""
        return BatchLatency(**{name: getattr(self, name) for name in BatchLatency.model_fields})
