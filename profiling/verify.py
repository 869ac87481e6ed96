"""Whether profiles still say what their models take: a sample, measured again.

A median has drifted if its new 95 % interval and the old one have nothing in common, and it moved
by more than `TOLERATED` as well: on a machine that others use, medians of two hours differ by a few
percent with certainty, and no plan is worse for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.errors import InputError
from profiling.batch_latency import MeasuredBatch
from profiling.measured import MeasuredModel
from profiling.profile import Profiles

__all__ = ["TOLERATED", "Drift", "VerifySample", "find_drift", "pick_sample"]

TOLERATED = 0.1
MODELS = 3
LARGEST = 8
"""batches beyond it take long, and drift as these do"""


@dataclass(frozen=True)
class VerifySample:
    """Of one measurement, the sizes to measure again."""

    then: MeasuredModel
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Drift:
    """One size of one model, then and now."""

    model: str
    measured_on: str
    then: MeasuredBatch
    now: MeasuredBatch

    @property
    def ratio(self) -> float:
        """Of the medians, now ÷ then."""
        return self.now.p50_s / self.then.p50_s

    @property
    def drifted(self) -> bool:
        """Whether they differ by more than chance and more than is tolerated."""
        then_low_s, then_high_s = self.then.interval_s
        now_low_s, now_high_s = self.now.interval_s
        apart = now_low_s > then_high_s or now_high_s < then_low_s
        return apart and abs(self.ratio - 1.0) > TOLERATED


def pick_sample(profiles: Profiles, models: int = MODELS) -> tuple[VerifySample, ...]:
    """The quickest, the slowest and models between, of each node that was measured on: size 1 and
    the largest up to `LARGEST`. Raises `InputError` for a file without measurements."""
    if not profiles.measured:
        raise InputError(
            "it holds no measurements to compare with, as files of earlier versions and those made "
            "by hand; run `testbed profile` without --verify"
        )
    found: list[VerifySample] = []
    for node in dict.fromkeys(each.measured_on for each in profiles.measured):
        there = sorted(
            (each for each in profiles.measured if each.measured_on == node),
            key=lambda each: each.latency[0].p50_s,
        )
        picked = {round(k * (len(there) - 1) / max(1, models - 1)) for k in range(models)}
        for place in sorted(picked):
            sizes = there[place].sizes
            largest = max((size for size in sizes if size <= LARGEST), default=sizes[0])
            found.append(VerifySample(there[place], tuple(dict.fromkeys((sizes[0], largest)))))
    return tuple(found)


def find_drift(sample: VerifySample, now: Sequence[MeasuredBatch]) -> tuple[Drift, ...]:
    """`sample` beside what its sizes take now."""
    return tuple(
        Drift(sample.then.model, sample.then.measured_on, then, entry)
        for entry in now
        if (then := sample.then.at(entry.batch)) is not None
    )
