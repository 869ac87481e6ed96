"""What happened between two samples: differences of counters, of nodes that may have restarted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from serving.node.answer_tally import BOUNDS_S
from serving.watch.facts import WatchFacts
from serving.watch.sample import NodeSample, SystemSample, WayCount, is_older

__all__ = ["AnswersOf", "Rates", "quantile_s", "rates_between"]

LEAST_S = 1e-3
NOTHING = NodeSample(busy_s=0.0, models=(), plan_version=0, device="well")


@dataclass(frozen=True)
class AnswersOf:
    """Answers at one client of one task that came one way."""

    client: str
    way: WayCount
    """with the counts of the time between"""
    qps: float


@dataclass(frozen=True)
class Rates:
    """Between two samples that are `spent_s` apart; each node's figures are by its own clock."""

    spent_s: float
    """in the mean over the clients that both have"""
    busy_share: Mapping[str, float]
    """node -> device-busy seconds a second"""
    arrived: Mapping[str, Mapping[str, int]]
    """client -> task -> queries"""
    arrived_qps: Mapping[str, float]
    """by client"""
    refused: Mapping[str, int]
    """reason -> queries"""
    refused_qps: Mapping[str, float]
    spilled_qps: Mapping[str, float]
    """by reason"""
    link_bytes_per_s: Mapping[str, float]
    """'source to target' -> bytes that went up"""
    link_busy_share: Mapping[str, float]
    answers: tuple[AnswersOf, ...]

    @property
    def arrived_count(self) -> int:
        """Queries that arrived anywhere."""
        return sum(sum(tasks.values()) for tasks in self.arrived.values())

    def answered_qps(self, node: str) -> float:
        """Queries a second that `node` answered."""
        return sum(each.qps for each in self.answers if each.way.node == node)

    def right(self, facts: WatchFacts) -> dict[str, float]:
        """Task -> answers times what their models are worth on the test split: an estimate of the
        right ones."""
        found: defaultdict[str, float] = defaultdict(float)
        for each in self.answers:
            worth = facts.accuracy.get(each.way.model, {}).get(each.way.task, 0.0)
            found[each.way.task] += worth * each.way.answers
        return found

    def buckets(self, tier: str | None = None) -> list[int]:
        """Answers by what they took, of one tier or of all."""
        total = [0] * (len(BOUNDS_S) + 1)
        for each in self.answers:
            if tier is None or each.way.tier == tier:
                total = [a + b for a, b in zip(total, each.way.buckets, strict=True)]
        return total


def rates_between(before: SystemSample, after: SystemSample) -> Rates:
    """What the nodes of `after` counted since `before`; one that was started anew since counts from
    its start. Of one that is not in `before`, or has an older sample in `after`, nothing is known.
    """
    between_s = max(after.at_s - before.at_s, LEAST_S)
    busy: dict[str, float] = {}
    arrived: dict[str, dict[str, int]] = {}
    arrived_qps: dict[str, float] = {}
    refused: defaultdict[str, int] = defaultdict(int)
    refused_qps: defaultdict[str, float] = defaultdict(float)
    spilled_qps: defaultdict[str, float] = defaultdict(float)
    link_bytes: dict[str, float] = {}
    link_busy: dict[str, float] = {}
    answers: list[AnswersOf] = []
    clients_s: list[float] = []
    for name, now in after.nodes.items():
        if name not in before.nodes or is_older(now, before.nodes[name]):
            continue
        then = before.nodes[name]
        if _restarted(then, now):
            then = NOTHING
        spent_s = _spent_s(then, now, between_s)
        busy[name] = (now.busy_s - then.busy_s) / spent_s
        if now.arrived:
            arrived[name] = _more(then.arrived, now.arrived)
            arrived_qps[name] = sum(arrived[name].values()) / spent_s
            clients_s.append(spent_s)
        for reason, count in _more(then.refused, now.refused).items():
            refused[reason] += count
            refused_qps[reason] += count / spent_s
        for reason, count in _more(then.spilled, now.spilled).items():
            spilled_qps[reason] += count / spent_s
        for target, (sent, busy_s) in now.links.items():
            sent_then, busy_then_s = then.links.get(target, (0, 0.0))
            link_bytes[f"{name} to {target}"] = (sent - sent_then) / spent_s
            link_busy[f"{name} to {target}"] = (busy_s - busy_then_s) / spent_s
        ways = _more_ways(then.ways, now.ways)
        answers += [AnswersOf(name, way, way.answers / spent_s) for way in ways]
    return Rates(
        spent_s=fmean(clients_s) if clients_s else between_s,
        busy_share=busy,
        arrived=arrived,
        arrived_qps=arrived_qps,
        refused=dict(refused),
        refused_qps=dict(refused_qps),
        spilled_qps=dict(spilled_qps),
        link_bytes_per_s=link_bytes,
        link_busy_share=link_busy,
        answers=tuple(answers),
    )


def _spent_s(then: NodeSample, now: NodeSample, between_s: float) -> float:
    """Between a node's two samples by its own clock, which is another one after a restart. A node
    that has just begun to count has done so for less than that: its rates are too low at first."""
    if then.taken_s is None or now.taken_s is None:
        return between_s
    return max(now.taken_s - then.taken_s, LEAST_S)


def quantile_s(buckets: Sequence[float], share: float) -> float | None:
    """Seconds within which that share of the answers came, by the buckets' ends and a straight line
    between them; None without an answer."""
    wanted = share * sum(buckets)
    if wanted <= 0:
        return None
    below, start_s = 0.0, 0.0
    for count, end_s in zip(buckets, (*BOUNDS_S, BOUNDS_S[-1]), strict=True):
        if count and below + count >= wanted:
            return start_s + (end_s - start_s) * (wanted - below) / count
        below, start_s = below + count, end_s
    return BOUNDS_S[-1]


def _restarted(then: NodeSample, now: NodeSample) -> bool:
    """Whether a counter has gone back, which none does in one process."""
    fell = now.busy_s < then.busy_s - 1e-3
    for old, new in ((then.arrived, now.arrived), (then.served, now.served)):
        fell |= any(new.get(key, 0) < count for key, count in old.items())
    return fell


def _more(then: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    found = {key: count - then.get(key, 0) for key, count in now.items()}
    return {key: count for key, count in found.items() if count}


def _more_ways(then: Sequence[WayCount], now: Sequence[WayCount]) -> list[WayCount]:
    known = {(way.task, way.node, way.model, way.via): way for way in then}
    found = []
    for way in now:
        old = known.get((way.task, way.node, way.model, way.via))
        if old is None:
            found.append(way)
            continue
        if way.answers == old.answers:
            continue
        buckets = tuple(b - a for a, b in zip(old.buckets, way.buckets, strict=True))
        since = {
            "answers": way.answers - old.answers, "late": way.late - old.late, "buckets": buckets,
        }  # fmt: skip
        found.append(way.model_copy(update=since))
    return [way for way in found if way.answers]
