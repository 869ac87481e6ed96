"""Verdicts on a system that runs, from two looks at its nodes' counters.

Counters know less than the rows of a run: batch times in the mean, use of devices and links,
refusals. So that much is judged; latency and accuracy need `testbed drive` and `testbed report`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from cluster.topology import link_name
from planner.evaluate import evaluate
from serving.node.device.latency_model import BatchTotals
from serving.node.snapshot import NodeSnapshot
from serving.traffic.run_use import HostUse, use_between
from serving.verdicts.causes import (
    FEWEST_BATCHES,
    Cause,
    Evidence,
    load_drift,
    machine_evidence,
    slow_links,
)
from serving.verdicts.judge import PlannedFor
from serving.verdicts.observed import NORMAL_95, share_margin
from serving.verdicts.verdict import Quantity, Source, Verdict
from serving.verdicts.verdict_list import VerdictList

__all__ = ["judge_looks"]

NOTHING_RUN = BatchTotals(0, 0, 0.0)


def judge_looks(
    before: Mapping[str, NodeSnapshot],
    after: Mapping[str, NodeSnapshot],
    planned: PlannedFor,
    host: HostUse | None = None,
) -> tuple[Verdict, ...]:
    """The verdicts on what nodes did between two looks; a node that was not there at both, or was
    started anew meanwhile, is left out. `host` is what the machine did."""
    both = {
        name: (before[name], seen) for name, seen in after.items()
        if name in before and _goes_on(before[name], seen)
    }  # fmt: skip
    if not both:
        return ()
    setting = planned.setting
    took_s = {name: now.taken_s - then.taken_s for name, (then, now) in both.items()}
    duration_s = float(np.median(list(took_s.values())))
    batches = _batches(both)
    stated = _stated(batches, planned)
    slowness = _slowness(batches, stated)
    use = use_between(
        {name: then for name, (then, _) in both.items()},
        {name: now for name, (_, now) in both.items()},
    )
    asked = {
        (client.name, task): count
        for client in setting.topology.clients if client.name in both
        for task, count in _since(*both[client.name]).items()
    }  # fmt: skip
    evidence = {
        **machine_evidence(host, slowness, _waited(batches, use.busy_s)),
        Cause.SLOW_LINK: slow_links(use.link_bytes, use.link_busy_s, setting),
        Cause.LOAD_DRIFT: load_drift(asked, duration_s, planned.phase, {}),
    }
    found = VerdictList(
        setting.topology, Evidence({cause: shown for cause, shown in evidence.items() if shown})
    )
    for (node, model), totals in batches.items():
        if (node, model) in stated:
            mean_s = totals.spent_s / totals.batches
            found.add(
                Quantity.BATCH_LATENCY, f"{model} on {node}", Source.PROFILE,
                stated[node, model] / totals.batches, mean_s, "s",
                # Counters have no scatter; few batches may have met a stall.
                0.0 if totals.batches >= 4 * FEWEST_BATCHES else float("inf"), (node,),
            )  # fmt: skip
    evaluation = evaluate(setting.problem(planned.phase), planned.plan)
    for node, busy in evaluation.utilization_by_node.items():
        if node in both:
            measured = use.busy_s[node] / took_s[node]
            served = max(1, sum(totals.queries for (n, _), totals in batches.items() if n == node))
            margin = NORMAL_95 * measured / float(np.sqrt(served))
            found.add(Quantity.UTILIZATION, node, Source.PLAN, busy, measured, "", margin, (node,))
    uplinks = evaluation.usages["F7"]
    for node, planned_bytes in zip(uplinks.names, uplinks.use_n.tolist(), strict=True):
        targets = [link.target for link in setting.topology.uplinks(node)] if node in both else []
        links = [link_name(node, target) for target in targets]
        sent = sum(use.link_bytes.get(name, 0) for name in links)
        if sent or (links and planned_bytes * duration_s > setting.largest_query_bytes):
            margin = NORMAL_95 * float(np.sqrt(max(sent, 1) * setting.largest_query_bytes))
            found.add(
                Quantity.LINK_BYTES, f"up from {node}", Source.PLAN, planned_bytes,
                sent / took_s[node], "bytes/s", margin / took_s[node], (node, *links),
            )  # fmt: skip
    arrived = sum(asked.values())
    if arrived:
        refused = sum(
            count - then.refused.get(reason, 0)
            for then, now in both.values() for reason, count in now.refused.items()
        )  # fmt: skip
        share = min(1.0, refused / arrived)
        found.add(
            Quantity.SHED_SHARE, "", Source.PLAN, evaluation.shed_share, share, "",
            share_margin(share, arrived),
        )  # fmt: skip
    return tuple(found.verdicts)


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


def _waited(
    batches: Mapping[tuple[str, str], BatchTotals], busy_s: Mapping[str, float]
) -> dict[str, float]:
    """By node, the time of its batches ÷ what its thread computed of it."""
    wall_s: dict[str, float] = defaultdict(float)
    for (node, _), totals in batches.items():
        wall_s[node] += totals.spent_s
    return {node: wall_s[node] / busy for node, busy in busy_s.items() if busy > 0}


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
