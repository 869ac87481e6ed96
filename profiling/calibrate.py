"""Profiles corrected by what batches took while the system served.

A profile is measured on a node that does nothing else. Beside other nodes a batch takes longer. The
times that come back from a run say how much, so the next plan need not be wrong in the same way.

The correction is robust, bounded, and forgets:

- Of a model on a node the median of measured / stated over its batches counts, so stalls do not.
  It is drawn to 1 as if `PRIOR_BATCHES` batches had been as stated: few batches prove little.
- Where batches of some size were many, that size gets a ratio of its own, drawn to the model's.
- A correction is by a factor of `LARGEST_STEP` at most; what is left shows in the next run.
- A second correction starts from the first. The batches behind that count half, and as
  `MOST_REMEMBERED` at most: what a device has become counts more than what it was.
- A model that did not run on a node gets the median ratio of those that did.
- How batches scattered around that is kept for the simulator (`profiling.scatter`).

The times of an emulated device are stated and not measured; they stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from cluster.provenance import Provenance
from profiling.fit import with_latency
from profiling.profile import BatchLatency, CalibrationNote, ModelProfile, Profiles, WayCost
from profiling.scatter import equally_likely

__all__ = ["BatchTimes", "corrected_profiles"]

PRIOR_BATCHES = 10.0
MOST_REMEMBERED = 100.0
REMEMBERED = 0.5
LARGEST_STEP = 2.0
NEAR = 2**0.5
"""a batch is near a profiled size up to this factor"""


@dataclass(frozen=True)
class BatchTimes:
    """What answers of one model on one node say of their batches. Axis q: answer."""

    node: str
    model: str
    size_q: NDArray[np.int32]
    spent_s_q: NDArray[np.float64]
    """device time of the whole batch"""
    idle_s_q: NDArray[np.float64] | None = None
    """for which the device had been idle when the batch began, where that is known"""

    crowding_q: NDArray[np.float64] | None = None
    """how many times as long as alone the batch took beside those of other nodes, where that is
    known"""

    def stated_s_q(self, profile: ModelProfile) -> NDArray[np.float64]:
        """What `profile` says that the batches take, of a device that shares its host's cores with
        nobody."""
        return profile.batches_s(self.size_q, self.idle_s_q)

    def expected_s_q(self, profile: ModelProfile) -> NDArray[np.float64]:
        """The same beside the batches that ran on the host's cores meanwhile."""
        stated_s_q = self.stated_s_q(profile)
        return stated_s_q if self.crowding_q is None else stated_s_q * self.crowding_q

    @cached_property
    def batches(self) -> float:
        """How many there were: each of n answers of a batch stands for 1/n of it."""
        return float(np.sum(1.0 / self.size_q))


def corrected_profiles(
    profiles: Profiles,
    seen: Sequence[BatchTimes],
    provenance: Provenance,
    way: WayCost | None = None,
) -> Profiles:
    """`profiles` as the next version, with the latency of every model that ran on a node, and nu
    and c fitted anew to it. Batches of unknown models and nodes are left out. `way` is what queries
    took beside; None leaves what is known of that."""
    by_place = {(each.node, each.model): each for each in seen if len(each.size_q)}
    corrected: dict[tuple[str, str], ModelProfile] = {}
    for profile in profiles.profiles:
        times = by_place.get((profile.node, profile.model))
        if times is not None and profile.emulated is None:
            corrected[profile.node, profile.model] = _corrected(profile, times)
    ratios: dict[str, list[float]] = {}
    for (node, _), profile in corrected.items():
        if profile.calibration is not None:
            ratios.setdefault(node, []).append(profile.calibration.ratio)
    found = []
    for profile in profiles.profiles:
        place = profile.node, profile.model
        of_node = ratios.get(profile.node, [])
        if place in corrected:
            found.append(corrected[place])
        elif of_node and profile.emulated is None:
            ratio = float(np.median(of_node))
            found.append(_scaled(profile, [ratio] * len(profile.latency), 0.0, ratio))
        else:
            found.append(profile)
    return profiles.model_copy(
        update={
            "version": profiles.version + 1,
            "profiles": tuple(found),
            "way": way or profiles.way,
            "provenance": provenance,
        }
    )


def _corrected(profile: ModelProfile, times: BatchTimes) -> ModelProfile:
    ratio_q = times.spent_s_q / times.expected_s_q(profile)
    weight_q = 1.0 / times.size_q
    before = profile.calibration.batches if profile.calibration else 0.0
    remembered = max(PRIOR_BATCHES, min(REMEMBERED * before, MOST_REMEMBERED))
    common = _drawn(_median(ratio_q, weight_q), times.batches, 1.0, remembered)
    ratios = []
    for entry in profile.latency:
        near_q = (times.size_q <= NEAR * entry.batch) & (times.size_q * NEAR >= entry.batch)
        if not near_q.any():
            ratios.append(common)
            continue
        near = _median(ratio_q[near_q], weight_q[near_q])
        ratios.append(_drawn(near, float(weight_q[near_q].sum()), common, PRIOR_BATCHES))
    found = _scaled(profile, ratios, REMEMBERED * before + times.batches, common)
    scatter = equally_likely(times.spent_s_q / times.expected_s_q(found), weight_q)
    assert found.calibration is not None
    note = found.calibration.model_copy(update={"scatter": scatter})
    return found.model_copy(update={"calibration": note})


def _scaled(
    profile: ModelProfile, ratios: Sequence[float], batches: float, common: float
) -> ModelProfile:
    """With the latency of each size times its ratio; a larger batch never takes less."""
    p50_s = np.maximum.accumulate(
        [ratio * entry.p50_s for ratio, entry in zip(ratios, profile.latency, strict=True)]
    )
    latency = tuple(
        _corrected_entry(entry.scaled(ratio), float(median_s))
        for entry, median_s, ratio in zip(profile.latency, p50_s, ratios, strict=True)
    )
    before = profile.calibration.ratio if profile.calibration else 1.0
    note = CalibrationNote(ratio=before * common, batches=batches)
    return with_latency(profile, latency).model_copy(update={"calibration": note})


def _corrected_entry(entry: BatchLatency, median_s: float) -> BatchLatency:
    """`entry` with another median, and what must not lie on the wrong side of it."""
    update: dict[str, float | None] = {"p50_s": median_s, "p95_s": max(median_s, entry.p95_s)}
    if entry.straight_p50_s is not None:
        update["straight_p50_s"] = min(median_s, entry.straight_p50_s)
    if entry.low_s is not None and entry.high_s is not None:
        update |= {"low_s": min(median_s, entry.low_s), "high_s": max(median_s, entry.high_s)}
    return entry.model_copy(update=update)


def _drawn(ratio: float, batches: float, towards: float, weight: float) -> float:
    """`ratio` of so many batches, drawn to another as if that had `weight` of them; a step of
    `LARGEST_STEP` from 1 at most."""
    drawn = (batches * log(ratio) + weight * log(towards)) / (batches + weight)
    return exp(min(max(drawn, -log(LARGEST_STEP)), log(LARGEST_STEP)))


def _median(value_q: NDArray[np.float64], weight_q: NDArray[np.float64]) -> float:
    """Half of the weight lies on either side."""
    order = np.argsort(value_q)
    passed = np.cumsum(weight_q[order])
    return float(value_q[order][np.searchsorted(passed, 0.5 * passed[-1])])
