"""What was measured of one model on one piece of hardware, and under which circumstances.

`profiles.json` keeps it beside the profiles that follow from it: a profile is corrected by runs and
scaled to emulated devices, this is not. It is what `testbed profile --verify` compares with.
"""

from __future__ import annotations

import hashlib
from typing import Self

from pydantic import Field, model_validator

from cluster.document import FrozenModel
from profiling.batch_latency import MeasuredBatch
from profiling.conditions import Conditions

__all__ = ["EnergyUse", "Hardware", "HostParts", "MeasuredModel", "Origin"]


class Hardware(FrozenModel):
    """What computed: hosts that are alike here may share measurements."""

    processor: str
    cores: int = Field(ge=1)
    accelerator: str = Field(description="name of the GPU, or `cpu`")
    threads: int = Field(ge=1, description="host threads of a pass")

    def __str__(self) -> str:
        device = self.processor if self.accelerator == "cpu" else self.accelerator
        return f"{device}, {self.cores} cores, {self.threads} thread(s)"


class Origin(FrozenModel):
    """What decides the figures: two measurements of equal origin should find the same."""

    hardware: Hardware
    model_digest: str = Field(description="of checkpoint, builder and input of the model")
    versions: dict[str, str] = Field(description="of what computes")
    sizes: tuple[int, ...] = Field(description="batch sizes that were asked for")
    max_batches: tuple[int, ...] = Field(description="largest batches of the nodes")
    asked: str = Field(description="the rule of sampling")

    @property
    def key(self) -> str:
        """A name for it, equal for equal origins."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:24]


class HostParts(FrozenModel):
    """What a query or a batch takes beside its pass; none of it is in the batch's latency but
    `stack_s` and `copy_s`."""

    decode_s: float = Field(ge=0, description="a PNG picture of the model's size to its pixels")
    fit_s: float = Field(ge=0, description="a picture of twice the size each way, to the model's")
    stack_s: float = Field(ge=0, description="a picture's part in making one array of a batch")
    copy_s: float = Field(
        ge=0, description="a picture's part in copying a batch to the device and its answers back"
    )
    hand_over_s: float | None = Field(
        default=None,
        ge=0,
        description="a single query, from its caller through the executor and back, beside its "
        "batch; absent where no executor was measured",
    )


class EnergyUse(FrozenModel):
    """Power by a counter of joules: of a GPU (`nvml`) or of whole processors (`rapl`)."""

    source: str
    idle_w: float = Field(ge=0)
    busy_w: float = Field(ge=0, description="while batches of the largest size follow one another")

    @property
    def beyond_idle_w(self) -> float:
        """What being busy adds."""
        return max(0.0, self.busy_w - self.idle_w)


class MeasuredModel(FrozenModel):
    """What one model costs on one device, before it is cut to the nodes that use the device."""

    model: str
    measured_on: str = Field(default="", description="the node")
    taken_at: str = Field(default="", description="UTC")
    origin: Origin | None = None
    latency: tuple[MeasuredBatch, ...] = Field(min_length=1)
    left_out: tuple[int, ...] = Field(
        default=(), description="batch sizes for which there was no time"
    )
    weights_bytes: int = Field(gt=0)
    workspace_bytes: dict[int, int] = Field(
        description="by the largest batch of a node, the peak of what it allocates beyond weights"
    )
    rss_bytes: int | None = Field(
        default=None,
        description="by how much the process grew to its peak in the largest of these batches; "
        "absent on a GPU and where the system does not say",
    )
    load_s: float = Field(
        ge=0, description="from the request to the warm model, its file not in memory before"
    )
    warm_up_s: float | None = Field(default=None, ge=0, description="of that, the warm-up")
    parts: HostParts | None = None
    energy: EnergyUse | None = None
    energy_note: str = Field(default="", description="why it was not measured")
    conditions: Conditions | None = None
    spent_s: float | None = Field(default=None, ge=0, description="seconds for all of this")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        sizes = [entry.batch for entry in self.latency]
        if sizes != sorted(set(sizes)):
            raise ValueError("latency: expected batch sizes that rise")
        return self

    @property
    def sizes(self) -> tuple[int, ...]:
        """Batch sizes that were measured, rising."""
        return tuple(entry.batch for entry in self.latency)

    @property
    def unsettled(self) -> tuple[int, ...]:
        """Sizes whose time was spent before their median was known as well as was asked."""
        return tuple(entry.batch for entry in self.latency if not entry.settled)

    @property
    def resident_bytes(self) -> int:
        """Weights and the workspace of the largest batch that was measured."""
        return self.weights_bytes + max(self.workspace_bytes.values(), default=0)

    def at(self, batch: int) -> MeasuredBatch | None:
        """What batches of this size took; None if they were not run."""
        return next((entry for entry in self.latency if entry.batch == batch), None)
