"""What a model costs on a node: the profile type and the file that holds all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cluster.devices import NOTHING, EmulatedDevice
from cluster.document import Document, FrozenModel
from cluster.provenance import Provenance
from profiling.batch_latency import PAUSE_S, BatchLatency, after_idle_s
from profiling.fit_quality import FitQuality
from profiling.interference import Interference
from profiling.measured import MeasuredModel

__all__ = [
    "PAUSE_S", "BatchLatency", "CalibrationNote", "Emulation", "ModelProfile", "Profiles",
    "WayCost", "digest_of",
]  # fmt: skip


class Emulation(FrozenModel):
    """Of a profile of an emulated device: what it was made from."""

    device: EmulatedDevice
    host_latency: tuple[BatchLatency, ...] = Field(
        description="of the model on the host that emulates the device; empty where it computes "
        "nothing"
    )
    source: str = Field(description="how the device's time follows from the host's")
    error: float | None = Field(
        default=None, ge=0, description="relative error of the device's time, where it is known"
    )

    @model_validator(mode="after")
    def _computed(self) -> Self:
        if (self.device.on == NOTHING) == bool(self.host_latency):
            raise ValueError("host_latency: expected entries, unless the device is on none")
        return self


class CalibrationNote(FrozenModel):
    """Of a profile that was corrected by what batches took while serving."""

    ratio: float = Field(gt=0, description="of its times to those that were profiled, over all")
    batches: float = Field(ge=0, description="behind it; those of earlier corrections count half")
    scatter: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(),
        description="of the latest run's batches, ratios to what the profile says, each as likely "
        "as the others; empty where batches were few, and in files of earlier versions",
    )


class ModelProfile(FrozenModel):
    """Cost of one model on one node: latency(b) ~ setup_s + marginal_s * b, and memory.

    `weights_bytes` are parameters and buffers; `workspace_bytes` is the peak of what a batch of
    the node's `max_batch` allocates beyond them. Their sum is s_m of `docs/formulation.md`.
    """

    model: str
    node: str
    measured_on: str = Field(description="node that was measured; same hardware class as `node`")
    latency: tuple[BatchLatency, ...] = Field(min_length=1)
    setup_s: float = Field(ge=0, description="nu_nm")
    marginal_s: float = Field(ge=0, description="c_nm")
    residual: float = Field(ge=0, description="root mean square of relative error of the fit")
    weights_bytes: int = Field(gt=0)
    workspace_bytes: int = Field(ge=0)
    load_s: float = Field(ge=0, description="seconds from request to warm model")
    fit: FitQuality | None = Field(
        default=None, description="how good the line is; absent in files of earlier versions"
    )
    emulated: Emulation | None = Field(
        default=None, description="of a node that emulates a device: where its latency comes from"
    )
    calibration: CalibrationNote | None = Field(
        default=None, description="how serving has corrected it; absent where it has not"
    )

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        sizes = [entry.batch for entry in self.latency]
        if sizes != sorted(set(sizes)):
            raise ValueError("latency: expected batch sizes that rise")
        host = self.emulated.host_latency if self.emulated else ()
        if host and [entry.batch for entry in host] != sizes:
            raise ValueError("emulated.host_latency: expected the batch sizes of `latency`")
        return self

    @property
    def resident_bytes(self) -> int:
        """s_m: weights plus the workspace of the largest batch."""
        return self.weights_bytes + self.workspace_bytes

    def batch_s(self, size: int) -> float:
        """Seconds that a batch of `size` takes (F15): the median as measured, linear between the
        measured sizes, and with slope c beyond the last. A larger batch never takes less: a median
        below that of a smaller size counts as that one."""
        return self._at(size, self._rising_s)

    def straight_batch_s(self, size: int) -> float:
        """The same of a batch straight after another one; `batch_s` where that is not known."""
        return self._at(size, self._rising_straight_s)

    def batches_s(
        self, size_q: NDArray[np.integer[Any]], idle_s_q: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """`batch_s` of many sizes (q), of which few differ; where `idle_s_q` is given, of batches
        before which the device was idle for so long."""
        sizes, place_q = np.unique(size_q, return_inverse=True)
        paused_s_q = np.array([self.batch_s(int(size)) for size in sizes])[place_q]
        if idle_s_q is None or not len(size_q):
            return paused_s_q
        straight_s_q = np.array([self.straight_batch_s(int(size)) for size in sizes])[place_q]
        return np.array(list(map(after_idle_s, straight_s_q, paused_s_q, idle_s_q)))

    def slowed(self, factor: float) -> ModelProfile:
        """Of a device that takes `factor` times as long for every batch."""
        update = {
            "latency": tuple(entry.scaled(factor) for entry in self.latency),
            "setup_s": factor * self.setup_s,
            "marginal_s": factor * self.marginal_s,
            "fit": self.fit and self.fit.scaled(factor),
        }
        return self.model_copy(update=update)

    @cached_property
    def _sizes(self) -> list[int]:
        return [entry.batch for entry in self.latency]

    @cached_property
    def _rising_s(self) -> list[float]:
        return list(accumulate((entry.p50_s for entry in self.latency), max))

    @cached_property
    def _rising_straight_s(self) -> list[float]:
        return list(accumulate((entry.straight_s for entry in self.latency), max))

    def _at(self, size: int, rising_s: list[float]) -> float:
        last = self._sizes[-1]
        if size > last:
            return rising_s[-1] + self.marginal_s * (size - last)
        return float(np.interp(size, self._sizes, rising_s))


ROUNDED = 1e-3
"""relative: the values of a scatter have four digits"""


class WayCost(FrozenModel):
    """What a query takes beside queues, batches and links, in the median of a run."""

    door_s: float = Field(
        ge=0, description="from the moment it is due: generator, HTTP, decoding, and the way back"
    )
    hop_s: float = Field(ge=0, description="more for each link that it crosses")
    scatter_s: tuple[float, ...] = Field(
        default=(),
        description="seconds beyond `door_s` of queries that their own client answered, each as "
        "likely as the others; empty where they were few, and in files of earlier versions",
    )

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        shortest_s = self.door_s + min(self.scatter_s, default=0.0)
        if shortest_s < -ROUNDED * self.door_s:
            raise ValueError(f"scatter_s: a query would take {shortest_s:.4g} s at the door")
        return self


class Profiles(Document):
    """`profiles.json`: every model on every node of a topology."""

    made_by: ClassVar[str] = "`testbed profile` makes one on a cluster that is up"

    version: int = Field(default=1, ge=1, description="grows with each calibration")
    topology: str
    profiles: tuple[ModelProfile, ...]
    measured: tuple[MeasuredModel, ...] = Field(
        default=(), description="what the profiles follow from; absent in files of earlier versions"
    )
    interference: tuple[Interference, ...] = Field(
        default=(), description="what batches take while others compute, by device of a host"
    )
    way: WayCost | None = Field(
        default=None, description="absent until `testbed calibrate` has seen a run"
    )
    provenance: Provenance

    @model_validator(mode="after")
    def _unique(self) -> Self:
        keys = [(profile.node, profile.model) for profile in self.profiles]
        if len(set(keys)) != len(keys):
            raise ValueError("a (node, model) pair is profiled twice")
        return self

    def find(self, node: str, model: str) -> ModelProfile | None:
        """The profile of `model` on `node`, or None where it was not measured."""
        return self._index.get((node, model))

    def compute_share(self, node: str) -> float:
        """How many of the profiles' seconds a second of `node`'s device is worth while the nodes
        beside it compute: beta_n times this is what they leave of a budget. 1 where that is in the
        times already (corrected by a run, or of an emulated device) or not known."""
        own = [profile for profile in self.profiles if profile.node == node]
        if any(profile.calibration or profile.emulated for profile in own):
            return 1.0
        return 1.0 / max((each.slowdown(node) for each in self.interference), default=1.0)

    def slowed(self, factors: Mapping[str, float]) -> Self:
        """With the devices of nodes that take so many times as long, by node; others stay."""
        slowed = tuple(
            profile.slowed(factors[profile.node]) if profile.node in factors else profile
            for profile in self.profiles
        )
        return self.model_copy(update={"profiles": slowed})

    @cached_property
    def _index(self) -> dict[tuple[str, str], ModelProfile]:
        return {(profile.node, profile.model): profile for profile in self.profiles}


def digest_of(profiles: Iterable[ModelProfile]) -> str:
    """A text that tells one set of profiles from another; empty for none."""
    lines = sorted(profile.model_dump_json() for profile in profiles)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else ""
