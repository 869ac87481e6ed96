"""What is known of a system over time, live or from a file: samples, plans, decisions, events."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from pydantic import Field

from cluster.document import FrozenModel
from serving.watch.decision_shown import DecisionShown
from serving.watch.facts import WatchFacts
from serving.watch.plan_shown import PlanShown
from serving.watch.sample import MomentS, SystemSample, carried_on
from serving.watch.scored import Scored

__all__ = ["PlanSince", "Recorded", "WatchEvent", "latest"]


class PlanSince(FrozenModel):
    """A plan, and since when it is in force."""

    at_s: MomentS
    plan: PlanShown


class WatchEvent(FrozenModel):
    """Something that was done to the system, or that it did, beside decisions."""

    at_s: MomentS
    words: str
    link: str = Field(default="", description="'source to target', where it is about one")
    condition: str = Field(
        default="", description="of that link from then on; nothing where it is as ever"
    )
    load_factors: dict[str, float] | None = Field(
        default=None, description="client -> factor on its load from then on, where it changed"
    )


@dataclass(frozen=True)
class Recorded:
    """All of it, each in the order of time; times are seconds from the start of the recording."""

    facts: WatchFacts
    samples: Sequence[SystemSample]
    plans: Sequence[PlanSince] = ()
    decisions: Sequence[DecisionShown] = ()
    """one whose plan has come into force stands here once more, with its version"""
    events: Sequence[WatchEvent] = ()
    scored: Scored | None = None
    """answers with their labels; None where none are known"""
    command: str = ""
    torn: str = ""
    """why the end is missing; nothing where it is not"""
    times_s: Sequence[float] = field(init=False)
    known: Sequence[SystemSample] = field(init=False)
    """at each sample what every node had shown last"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "times_s", [sample.at_s for sample in self.samples])
        object.__setattr__(self, "known", list(accumulate(self.samples, carried_on)))

    @property
    def end_s(self) -> float:
        """When the last sample was taken."""
        return self.times_s[-1] if self.times_s else 0.0

    def sample_at(self, at_s: float) -> SystemSample | None:
        """The latest sample at that moment; None before the first."""
        position = bisect_right(self.times_s, at_s)
        return self.samples[position - 1] if position else None

    def known_at(self, at_s: float) -> SystemSample | None:
        """What every node had shown last by then: the first sample, where that is later."""
        position = bisect_right(self.times_s, at_s)
        return self.known[max(0, position - 1)] if self.known else None

    def decisions_at(self, at_s: float) -> tuple[DecisionShown, ...]:
        """The decisions that were made by then, each as far as it had come, the newest first."""
        found: dict[int, DecisionShown] = {}
        for decision in self.decisions:
            if decision.known_s <= at_s:
                found[decision.number] = decision
        return tuple(reversed(found.values()))


def latest(entries: Sequence[PlanSince], at_s: float) -> PlanSince | None:
    """The last of the plans that was in force by then."""
    position = bisect_right([entry.at_s for entry in entries], at_s)
    return entries[position - 1] if position else None
