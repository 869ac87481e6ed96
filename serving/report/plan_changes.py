"""Every change of plan of a run: what moved, why, and how it went just before and just after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from cluster.document import FrozenModel
from planner.plan import Plan
from serving.traffic.measurement import Measurements

__all__ = [
    "WINDOW_S", "AroundChange", "LoggedChange", "PlanChange", "changes_seen", "plan_changes_s",
    "what_moved",
]  # fmt: skip

WINDOW_S = 10.0
"""before and after a change that are compared"""


class AroundChange(FrozenModel):
    """What came back of the queries that were due in some seconds next to a change."""

    seconds: float = Field(description="shorter than asked where the run begins or ends")
    queries: int
    answered_share: float
    accuracy: float = Field(description="sum of scores / queries: a refused one counts 0")
    latency_p50_s: float | None = Field(default=None, description="of its answers")
    latency_p95_s: float | None = None


class PlanChange(FrozenModel):
    """A plan that went out while traffic flowed."""

    at_s: float
    """seconds from the start of the run at which the first query was due that followed it"""
    version: int
    predicted_accuracy: float | None = None
    note: str = ""
    loads: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="node -> models that it holds since, and did not before"
    )
    unloads: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="node -> models that it no longer holds"
    )
    routes_changed: int | None = Field(
        default=None, description="streams (client and task) of which the shares are others"
    )
    moved_share: float | None = Field(
        default=None, description="of all queries, those that take another way than before"
    )
    before: AroundChange | None = None
    after: AroundChange | None = None


@dataclass(frozen=True)
class LoggedChange:
    """What is known of the change to a version of the plan, apart from how it went."""

    before: Plan
    after: Plan
    why: str
    predicted_accuracy: float | None = None


def changes_seen(
    measurements: Measurements,
    logged: Mapping[int, LoggedChange],
    *,
    window_s: float = WINDOW_S,
) -> tuple[PlanChange, ...]:
    """Each later version of the plan that a query followed, with what is logged of it."""
    found = []
    for version, at_s in plan_changes_s(measurements).items():
        change = PlanChange(
            at_s=at_s,
            version=version,
            note="not in the log",
            before=_around(measurements, at_s - window_s, at_s),
            after=_around(measurements, at_s, at_s + window_s),
        )
        if version in logged:
            change = change.model_copy(update=_told(logged[version]))
        found.append(change)
    return tuple(found)


def _told(logged: LoggedChange) -> dict[str, Any]:
    loads, unloads = what_moved(logged.before, logged.after)
    changed, moved = _rerouted(logged.before, logged.after)
    return {
        "predicted_accuracy": logged.predicted_accuracy,
        "note": logged.why,
        "loads": loads,
        "unloads": unloads,
        "routes_changed": changed,
        "moved_share": moved,
    }


def plan_changes_s(measurements: Measurements) -> dict[int, float]:
    """Each version of the plan but the first -> when the first query that followed it was due."""
    versions = measurements.plan_version
    later = np.unique(versions[versions > 0])[1:]
    return {int(v): float(measurements.scheduled_s[versions == v].min()) for v in later}


def what_moved(
    before: Plan, after: Plan
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """(node -> models it is to load, node -> models it is to unload) from one plan to another."""

    def less(one: Plan, other: Plan) -> dict[str, tuple[str, ...]]:
        gone = {
            node: tuple(sorted(set(models) - set(other.onloading.get(node, ()))))
            for node, models in one.onloading.items()
        }
        return {node: models for node, models in gone.items() if models}

    return less(after, before), less(before, after)


def _rerouted(before: Plan, after: Plan) -> tuple[int, float | None]:
    """(streams with other shares, share of all queries of `after`'s load that go another way)."""
    gained: dict[tuple[str, str], float] = defaultdict(float)
    ways = [_ways(before), _ways(after)]
    streams = {stream for each in ways for stream in each}
    for stream in streams:
        old, new = (each.get(stream, {}) for each in ways)
        more = sum(max(0.0, share - old.get(way, 0.0)) for way, share in new.items())
        shed_more = max(0.0, sum(old.values()) - sum(new.values()))
        gained[stream] = more + shed_more
    load_qps = {
        (client, task): qps for client, of in after.load_qps.items() for task, qps in of.items()
    }
    total_qps = sum(load_qps.values())
    moved = None
    if total_qps > 0:
        moved = sum(gained[stream] * load_qps.get(stream, 0.0) for stream in streams) / total_qps
    return sum(share > 1e-6 for share in gained.values()), moved


def _ways(plan: Plan) -> dict[tuple[str, str], dict[tuple[str, str, str | None], float]]:
    ways: dict[tuple[str, str], dict[tuple[str, str, str | None], float]] = defaultdict(dict)
    for route in plan.routes:
        ways[route.client, route.task][route.node, route.model, route.via] = route.share
    return ways


def _around(measurements: Measurements, from_s: float, to_s: float) -> AroundChange | None:
    """None where no query was due."""
    from_s, to_s = max(0.0, from_s), min(measurements.run.duration_s, to_s)
    due_s = measurements.scheduled_s
    rows = measurements.select((due_s >= from_s) & (due_s < to_s))
    if not len(rows):
        return None
    latency_s = rows.latency_s[rows.answered]
    p50_s, p95_s = np.quantile(latency_s, [0.5, 0.95]) if len(latency_s) else (None, None)
    return AroundChange(
        seconds=to_s - from_s,
        queries=len(rows),
        answered_share=float(rows.answered.mean()),
        accuracy=float(np.where(rows.answered, rows.score, 0.0).mean()),
        latency_p50_s=None if p50_s is None else float(p50_s),
        latency_p95_s=None if p95_s is None else float(p95_s),
    )
