"""Measure one model on the device that will serve it, through the runtime that will serve it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from profiling.fit import fit_affine
from profiling.memory import peak_workspace_bytes
from profiling.profile import PAUSE_S, BatchLatency, ModelProfile

__all__ = [
    "BATCH_SIZES",
    "ModelMeasurement",
    "Profiled",
    "measure_latency",
    "measure_model",
    "profile_of",
]

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
WARM_UP_RUNS = 2


class Profiled(Protocol):
    """What is measured (`models.runtime.model_runtime.ModelRuntime`)."""

    weights_bytes: int

    def run(self, images: NDArray[np.uint8]) -> object:
        """Answers for uint8 images (b, h, w, 3)."""
        ...


def measure_latency(
    run: Callable[[NDArray[np.uint8]], object],
    images: NDArray[np.uint8],
    batches: Sequence[int] = BATCH_SIZES,
    *,
    target_s: float = 0.6,
    runs: tuple[int, int] = (5, 12),
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[BatchLatency, ...]:
    """Latency of each batch size, warm: median and 95th percentile.

    Served batches mostly come after a pause, in which processors slow down and lose their caches.
    So each run is timed after `PAUSE_S`, and another one straight after it: that is what batches
    take on a device that is never idle.

    Each size runs for about `target_s`, but no fewer and no more times than `runs` says. Sizes
    are taken in turn, round after round, so that a slow spell of the machine meets all alike.
    """
    inputs = {batch: images[np.arange(batch) % len(images)] for batch in batches}
    for batch in batches:
        for _ in range(WARM_UP_RUNS):
            run(inputs[batch])
    spent_s: dict[int, list[float]] = {batch: [] for batch in batches}
    straight_s: dict[int, list[float]] = {batch: [] for batch in batches}
    for round_ in range(runs[1]):
        for batch, taken in spent_s.items():
            if round_ >= runs[0] and sum(taken) >= target_s:
                continue
            pause(PAUSE_S)
            for found in (taken, straight_s[batch]):
                started_s = clock()
                run(inputs[batch])
                found.append(clock() - started_s)
    return tuple(
        BatchLatency(
            batch=batch,
            p50_s=float(np.percentile(taken, 50)),
            p95_s=float(np.percentile(taken, 95)),
            runs=len(taken),
            straight_p50_s=float(np.percentile(straight_s[batch], 50)),
        )
        for batch, taken in spent_s.items()
    )


@dataclass(frozen=True)
class ModelMeasurement:
    """What one model costs on one device, before it is cut to the nodes that use the device."""

    model: str
    latency: tuple[BatchLatency, ...]
    weights_bytes: int
    workspace_bytes: Mapping[int, int]
    """largest batch of a node -> peak bytes beyond the weights"""
    load_s: float


def measure_model(
    runtime: Profiled,
    images: NDArray[np.uint8],
    *,
    model: str,
    device: str,
    max_batches: Collection[int],
    load_s: float,
    target_s: float = 0.4,
) -> ModelMeasurement:
    """Time a loaded model on real inputs (n, h, w, 3) at every size of `BATCH_SIZES`, and find its
    workspace at each of `max_batches`."""

    def workspace(batch: int) -> int:
        inputs = images[np.arange(batch) % len(images)]
        return peak_workspace_bytes(lambda: runtime.run(inputs), device)

    return ModelMeasurement(
        model=model,
        latency=measure_latency(runtime.run, images, target_s=target_s),
        weights_bytes=runtime.weights_bytes,
        workspace_bytes={batch: workspace(batch) for batch in sorted(set(max_batches))},
        load_s=load_s,
    )


def profile_of(
    measured: ModelMeasurement, *, node: str, measured_on: str, max_batch: int
) -> ModelProfile:
    """The profile of a node that uses the measured device with batches up to `max_batch`.

    nu and c are fitted over all sizes that were run: more points than a small node's own batch
    sizes give, and the same line for nodes that share the hardware.
    """
    sizes = [entry.batch for entry in measured.latency]
    fit = fit_affine(sizes, [entry.p50_s for entry in measured.latency])
    return ModelProfile(
        model=measured.model,
        node=node,
        measured_on=measured_on,
        latency=measured.latency,
        setup_s=fit.setup_s,
        marginal_s=fit.marginal_s,
        residual=fit.residual,
        weights_bytes=measured.weights_bytes,
        workspace_bytes=measured.workspace_bytes[max_batch],
        load_s=measured.load_s,
    )
