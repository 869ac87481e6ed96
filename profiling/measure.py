"""Measure one model on the device that will serve it, through the runtime that will serve it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from profiling.fit import with_latency
from profiling.measured import MeasuredModel
from profiling.profile import ModelProfile
from profiling.sampling import SamplingRule, sample_sizes

__all__ = ["BATCH_SIZES", "Profiled", "measure_model", "profile_of", "sizes_up_to", "timer_of"]

BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
LEAST_LARGEST = 8
"""of the sizes that are run where nodes have smaller batches: a line through one or two points is
known badly"""


class Profiled(Protocol):
    """What is measured (`models.runtime.model_runtime.ModelRuntime`)."""

    weights_bytes: int

    def run(self, images: NDArray[np.uint8]) -> object:
        """Answers for uint8 images (b, h, w, 3)."""
        ...


def sizes_up_to(max_batch: int) -> tuple[int, ...]:
    """The batch sizes to run for nodes whose largest batch is `max_batch`: those of `BATCH_SIZES`
    that are no larger, and itself, up to the largest of `BATCH_SIZES`."""
    last = min(max(max_batch, LEAST_LARGEST), BATCH_SIZES[-1])
    return tuple(sorted({size for size in BATCH_SIZES if size <= last} | {last}))


def timer_of(
    run: Callable[[NDArray[np.uint8]], object],
    images: NDArray[np.uint8],
    clock: Callable[[], float] = time.perf_counter,
) -> Callable[[int], float]:
    """Runs a batch of so many of `images` (n, h, w, 3) and returns the seconds that it took."""

    def timed(size: int) -> float:
        batch = images[np.arange(size) % len(images)]
        started_s = clock()
        run(batch)
        return clock() - started_s

    return timed


def measure_model(
    runtime: Profiled,
    images: NDArray[np.uint8],
    *,
    model: str,
    device: str,
    max_batches: Collection[int],
    load_s: float,
    rule: SamplingRule | None = None,
    timed: Callable[[int], float] | None = None,
) -> MeasuredModel:
    """Time a loaded model on real inputs (n, h, w, 3) at the sizes up to the largest of
    `max_batches`, and find its workspace at each of them. `timed` runs a batch where that is not to
    be the runtime alone."""
    from profiling.memory import peak_workspace_bytes  # which needs torch

    sampled = sample_sizes(
        timed or timer_of(runtime.run, images),
        sizes_up_to(max(max_batches)),
        rule or SamplingRule(),
    )

    def workspace(batch: int) -> int:
        inputs = images[np.arange(batch) % len(images)]
        return peak_workspace_bytes(lambda: runtime.run(inputs), device)

    return MeasuredModel(
        model=model,
        latency=sampled.latency,
        left_out=sampled.left_out,
        weights_bytes=runtime.weights_bytes,
        workspace_bytes={batch: workspace(batch) for batch in sorted(set(max_batches))},
        load_s=load_s,
    )


def profile_of(
    measured: MeasuredModel, *, node: str, measured_on: str, max_batch: int
) -> ModelProfile:
    """The profile of a node that uses the measured device with batches up to `max_batch`.

    nu and c are fitted over all sizes that were run: more points than a small node's own batch
    sizes give, and the same line for nodes that share the hardware.
    """
    latency = tuple(entry.plain() for entry in measured.latency)
    unfitted = ModelProfile(
        model=measured.model,
        node=node,
        measured_on=measured_on,
        latency=latency,
        setup_s=0.0,
        marginal_s=0.0,
        residual=0.0,
        weights_bytes=measured.weights_bytes,
        workspace_bytes=measured.workspace_bytes[max_batch],
        load_s=measured.load_s,
    )
    return with_latency(unfitted, latency)
