"""The figures over time that the page draws: each step between two samples, gathered into bins."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from serving.watch.facts import WatchFacts
from serving.watch.frame import Course
from serving.watch.rates import quantile_s, rates_between
from serving.watch.recorded import Recorded
from serving.watch.sample import SystemSample, carried_on

__all__ = ["CourseStep", "course_of", "course_until", "step_between", "steps_of"]

BINS = 120
LEAST_BIN_S = 1.0
TIERS = ("client", "edge", "cloud")


@dataclass(frozen=True, slots=True)
class CourseStep:
    """What happened between two samples, as far as it is drawn."""

    at_s: float
    """of the later one"""
    spent_s: float
    arrived: int
    answered: tuple[int, int, int]
    """by client, edge, cloud"""
    refused: int
    right: float
    """answers times what their models are worth"""
    late: int
    buckets: tuple[int, ...]


def steps_of(facts: WatchFacts, samples: Sequence[SystemSample]) -> list[CourseStep]:
    """The steps between samples that follow each other."""
    known = list(accumulate(samples, carried_on))
    return [step_between(facts, a, b) for a, b in zip(known, samples[1:], strict=False)]


def step_between(facts: WatchFacts, before: SystemSample, after: SystemSample) -> CourseStep:
    """The step from one sample to the next."""
    rates = rates_between(before, after)
    by_tier = dict.fromkeys(TIERS, 0)
    for each in rates.answers:
        by_tier[each.way.tier] += each.way.answers
    return CourseStep(
        at_s=after.at_s,
        spent_s=rates.spent_s,
        arrived=rates.arrived_count,
        answered=(by_tier["client"], by_tier["edge"], by_tier["cloud"]),
        refused=sum(rates.refused.values()),
        right=sum(rates.right(facts).values()),
        late=sum(each.way.late for each in rates.answers),
        buckets=tuple(rates.buckets()),
    )


@dataclass
class _Bin:
    spent_s: float = 0.0
    arrived: float = 0.0
    refused: float = 0.0
    right: float = 0.0
    late: float = 0.0
    answered: tuple[float, ...] = (0.0, 0.0, 0.0)
    buckets: tuple[float, ...] = ()

    def add(self, step: CourseStep, part: float) -> None:
        """Add that part of a step, which may reach over several bins."""
        self.spent_s += part * step.spent_s
        self.arrived += part * step.arrived
        self.refused += part * step.refused
        self.right += part * step.right
        self.late += part * step.late
        both = zip(self.answered, step.answered, strict=True)
        self.answered = tuple(a + part * b for a, b in both)
        same = self.buckets or (0.0,) * len(step.buckets)
        self.buckets = tuple(a + part * b for a, b in zip(same, step.buckets, strict=True))

    def rate(self, count: float) -> float | None:
        return count / self.spent_s if self.spent_s > 0 else None

    def share(self, count: float, of: float) -> float | None:
        return count / of if of > 0 else None


def _gathered(steps: Sequence[CourseStep], edges_s: Sequence[float], until_s: float) -> list[_Bin]:
    """The bins between `edges_s`, which are equally wide, with the steps up to `until_s`."""
    from_s, width_s, count = edges_s[0], edges_s[1] - edges_s[0], len(edges_s) - 1
    bins = [_Bin() for _ in range(count)]
    for step in steps[bisect_right([step.at_s for step in steps], from_s) :]:
        if step.at_s > until_s:
            break
        begin_s = step.at_s - step.spent_s
        first = max(0, int((begin_s - from_s) / width_s))
        for position in range(first, count):
            inside_s = min(step.at_s, edges_s[position + 1]) - max(begin_s, edges_s[position])
            if inside_s <= 0:
                break
            bins[position].add(step, inside_s / step.spent_s)
    return bins


def course_of(
    recorded: Recorded, steps: Sequence[CourseStep], from_s: float, to_s: float
) -> Course:
    """What is drawn from `from_s` to `to_s`, all of it known."""
    span_s = max(to_s - from_s, LEAST_BIN_S)
    count = int(max(1, min(BINS, span_s / LEAST_BIN_S)))
    edges_s = [from_s + span_s * k / count for k in range(count + 1)]
    bins = _gathered(steps, edges_s, to_s)
    scores = None if recorded.scored is None else recorded.scored.accuracy_series(edges_s)
    estimated = [each.share(each.right, max(each.arrived, sum(each.answered))) for each in bins]
    return Course(
        edges_s=tuple(edges_s),
        asked_qps=tuple(each.rate(each.arrived) for each in bins),
        answered_qps={
            tier: tuple(each.rate(each.answered[k]) for each in bins)
            for k, tier in enumerate(TIERS)
        },
        refused_qps=tuple(each.rate(each.refused) for each in bins),
        accuracy=tuple(estimated if scores is None else scores),
        accuracy_source="estimate" if scores is None else "labels",
        p95_s=tuple(quantile_s(each.buckets, 0.95) for each in bins),
        late_share=tuple(each.share(each.late, sum(each.answered)) for each in bins),
        changes_s=tuple(e.at_s for e in recorded.plans[1:] if from_s <= e.at_s <= to_s),
        events_s=tuple(e.at_s for e in recorded.events if from_s <= e.at_s <= to_s),
    )


def course_until(course: Course, at_s: float) -> Course:
    """What of a course is known at `at_s`: the bins that have ended, and the marks before it."""
    known = bisect_right(course.edges_s, at_s) - 1

    def cut(values: Sequence[float | None]) -> tuple[float | None, ...]:
        return tuple(value if k < known else None for k, value in enumerate(values))

    return course.model_copy(
        update={
            "asked_qps": cut(course.asked_qps),
            "answered_qps": {tier: cut(of) for tier, of in course.answered_qps.items()},
            "refused_qps": cut(course.refused_qps),
            "accuracy": cut(course.accuracy),
            "p95_s": cut(course.p95_s),
            "late_share": cut(course.late_share),
            "changes_s": tuple(at for at in course.changes_s if at <= at_s),
            "events_s": tuple(at for at in course.events_s if at <= at_s),
        }
    )
