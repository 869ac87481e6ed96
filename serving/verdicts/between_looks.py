"""Verdicts on a system that runs, from two looks at its nodes' counters.

Counters know less than the rows of a run: batch times in the mean, use of devices and links,
refusals. So that much is judged; latency and accuracy need `testbed drive` and `testbed report`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planner.evaluate import Evaluation, evaluate
from serving.node.device.latency_model import BatchTotals
from serving.node.snapshot import NodeSnapshot
from serving.normal_errors import NORMAL_95
from serving.setting.setting import Setting
from serving.traffic.run_use import HostUse, RunUse, use_between
from serving.verdicts.causes import (
    FEWEST_BATCHES,
    Cause,
    Evidence,
    load_drift,
    machine_evidence,
    slow_links,
    waited_of,
)
from serving.verdicts.judge import PlannedFor
from serving.verdicts.observed import share_margin
from serving.verdicts.verdict import Quantity, Source, Verdict
from serving.verdicts.verdict_list import VerdictList

__all__ = ["judge_looks"]

NOTHING_RUN = BatchTotals(0, 0, 0.0)
SURE_BATCHES = 4 * FEWEST_BATCHES


@dataclass(frozen=True)
class _Between:
    """What nodes did between two looks."""

    both: Mapping[str, tuple[NodeSnapshot, NodeSnapshot]]
    """by node that was there at both and goes on"""
    use: RunUse
    batches: Mapping[tuple[str, str], BatchTotals]
    """by node and model"""
    asked: Mapping[tuple[str, str], int]
    """queries by client and task"""

    def took_s(self, node: str) -> float:
        """Seconds between the looks at a node."""
        then, now = self.both[node]
        return now.taken_s - then.taken_s

    @property
    def duration_s(self) -> float:
        """The same of all nodes, in the median."""
        return float(np.median([self.took_s(node) for node in self.both]))


def judge_looks(
    before: Mapping[str, NodeSnapshot],
    after: Mapping[str, NodeSnapshot],
    planned: PlannedFor,
    host: HostUse | None = None,
) -> tuple[Verdict, ...]:
    """The verdicts on what nodes did between two looks; a node that was not there at both, or was
    started anew meanwhile, is left out. `host` is what the machine did."""
    seen = _between(before, after)
    if not seen.both:
        return ()
    setting = planned.setting
    stated = _stated(seen.batches, planned)
    slowness = _slowness(seen.batches, stated)
    evidence = {
        **machine_evidence(host, slowness, waited_of(seen.use.wall_s, seen.use.busy_s)),
        Cause.SLOW_LINK: slow_links(seen.use.link_bytes, seen.use.link_busy_s, setting),
        Cause.LOAD_DRIFT: load_drift(seen.asked, seen.duration_s, planned.phase, {}),
    }
    found = VerdictList(setting.topology, Evidence(evidence))
    evaluation = evaluate(setting.problem(planned.phase), planned.plan)
    _judge_batches(found, seen, stated)
    _judge_devices(found, seen, evaluation)
    _judge_uplinks(found, seen, evaluation, setting)
    _judge_refused(found, seen, evaluation)
    return tuple(found.verdicts)


def _between(before: Mapping[str, NodeSnapshot], after: Mapping[str, NodeSnapshot]) -> _Between:
    both = {
        name: (before[name], seen) for name, seen in after.items()
        if name in before and _goes_on(before[name], seen)
    }  # fmt: skip
    return _Between(
        both,
        use_between(
            {name: then for name, (then, _) in both.items()},
            {name: now for name, (_, now) in both.items()},
        ),
        _batches(both),
        {
            (name, task): count
            for name, (then, now) in both.items() for task, count in _since(then, now).items()
        },
    )  # fmt: skip


def _judge_batches(
    found: VerdictList, seen: _Between, stated: Mapping[tuple[str, str], float]
) -> None:
    """Mean batch times against the profiles. Counters have no scatter, and few batches may have met
    a stall: of those nothing is sure."""
    for (node, model), seconds in stated.items():
        totals = seen.batches[node, model]
        margin_s = 0.0 if totals.batches >= SURE_BATCHES else float("inf")
        found.add(
            Quantity.BATCH_LATENCY, f"{model} on {node}", Source.PROFILE,
            seconds / totals.batches, totals.spent_s / totals.batches, "s", margin_s, (node,),
        )  # fmt: skip


def _judge_devices(found: VerdictList, seen: _Between, evaluation: Evaluation) -> None:
    """Use of devices against the plan's evaluation."""
    for node, busy in evaluation.utilization_by_node.items():
        if node in seen.both:
            measured = seen.use.busy_s[node] / seen.took_s(node)
            served = sum(totals.queries for (n, _), totals in seen.batches.items() if n == node)
            margin = NORMAL_95 * measured / float(np.sqrt(max(1, served)))
            found.add(Quantity.UTILIZATION, node, Source.PLAN, busy, measured, "", margin, (node,))


def _judge_uplinks(
    found: VerdictList, seen: _Between, evaluation: Evaluation, setting: Setting
) -> None:
    """Bytes that go up from each node against the plan's (F7)."""
    uplinks, largest = evaluation.usages["F7"], setting.largest_query_bytes
    for node, planned in zip(uplinks.names, uplinks.use_n.tolist(), strict=True):
        if node not in seen.both:  # also an attachment's own row, whose client has one
            continue
        links = [link.name for link in setting.topology.uplinks(node)]
        sent = sum(seen.use.link_bytes.get(name, 0) for name in links)
        took_s = seen.took_s(node)
        if sent or planned * took_s > largest:
            margin = NORMAL_95 * float(np.sqrt(max(sent, 1) * largest)) / took_s
            found.add(
                Quantity.LINK_BYTES, f"up from {node}", Source.PLAN, planned, sent / took_s,
                "bytes/s", margin, (node, *links),
            )  # fmt: skip


def _judge_refused(found: VerdictList, seen: _Between, evaluation: Evaluation) -> None:
    """The share of queries that were refused against what the plan sheds."""
    arrived = sum(seen.asked.values())
    if not arrived:
        return
    refused = sum(
        count - then.refused.get(reason, 0)
        for then, now in seen.both.values() for reason, count in now.refused.items()
    )  # fmt: skip
    share = min(1.0, refused / arrived)
    found.add(
        Quantity.SHED_SHARE, "", Source.PLAN, evaluation.shed_share, share, "",
        share_margin(share, arrived),
    )  # fmt: skip


def _goes_on(then: NodeSnapshot, now: NodeSnapshot) -> bool:
    """Whether the counters are of one and the same process, and time passed."""
    return now.taken_s > then.taken_s and now.batches >= then.batches and now.busy_s >= then.busy_s


def _since(then: NodeSnapshot, now: NodeSnapshot) -> dict[str, int]:
    return {task: count - then.arrived.get(task, 0) for task, count in now.arrived.items()}


def _batches(
    both: Mapping[str, tuple[NodeSnapshot, NodeSnapshot]],
) -> dict[tuple[str, str], BatchTotals]:
    """What batches took between the looks, by node and model, where there were any."""
    found = {}
    for node, (then, now) in both.items():
        for model, total in now.batch_totals.items():
            base = then.batch_totals.get(model, NOTHING_RUN)
            spent = BatchTotals(
                total.batches - base.batches,
                total.queries - base.queries,
                total.spent_s - base.spent_s,
            )
            if spent.batches > 0:
                found[node, model] = spent
    return found


def _stated(
    batches: Mapping[tuple[str, str], BatchTotals], planned: PlannedFor
) -> dict[tuple[str, str], float]:
    """Seconds that they should have taken in all: nu for each batch and c for each query."""
    found = {}
    for (node, model), totals in batches.items():
        profile = planned.setting.profiles.find(node, model)
        if profile is not None:
            found[node, model] = (
                profile.setup_s * totals.batches + profile.marginal_s * totals.queries
            )
    return found


def _slowness(
    batches: Mapping[tuple[str, str], BatchTotals], stated: Mapping[tuple[str, str], float]
) -> dict[str, float]:
    """By node, seconds that its batches took ÷ what they should have taken."""
    found = {}
    for node in {node for node, _ in stated}:
        mine = [key for key in stated if key[0] == node]
        if sum(batches[key].batches for key in mine) >= FEWEST_BATCHES:
            found[node] = sum(batches[key].spent_s for key in mine) / sum(stated[k] for k in mine)
    return found
