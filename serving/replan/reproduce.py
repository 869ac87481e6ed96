"""Whether a decision, made again from its log, comes out the same."""

from __future__ import annotations

from planner.plan import Plan
from serving.replan.decision import Decision

__all__ = ["find_differences"]

TOLERANCE = 1e-6
"""in F1 and shares: a solver may round otherwise on another processor"""


def find_differences(logged: Decision, again: Decision) -> list[str]:
    """What differs, in words; empty if both decide the same for the same reasons."""
    found = []
    if logged.chosen != again.chosen or logged.changes != again.changes:
        before, now = (each.alternatives[each.chosen] for each in (logged, again))
        found.append(f"the choice: {before.kind} then, {now.kind} now")
    if len(logged.alternatives) != len(again.alternatives):
        found.append(
            f"the alternatives: {len(logged.alternatives)} then, {len(again.alternatives)} now"
        )
    for before, now in zip(logged.alternatives, again.alternatives, strict=False):
        for name in ("objective", "gain", "sure_gain", "cost"):
            then, value = getattr(before, name), getattr(now, name)
            if abs(then - value) > TOLERANCE:
                found.append(f"{name} of {before.kind}: {then:.6f} then, {value:.6f} now")
        if before.loads != now.loads:
            found.append(f"the loads of {before.kind}")
    if logged.plan is not None and again.plan is not None:
        found += _plan_differences(logged.plan, again.plan)
    return found


def _plan_differences(then: Plan, now: Plan) -> list[str]:
    found = []
    if {n: set(m) for n, m in then.onloading.items()} != {
        n: set(m) for n, m in now.onloading.items()
    }:
        found.append("the models of the plan")
    before, after = _shares(then), _shares(now)
    if any(abs(before.get(way, 0.0) - after.get(way, 0.0)) > TOLERANCE for way in before | after):
        found.append("the shares of the plan")
    return found


def _shares(plan: Plan) -> dict[tuple[str, ...], float]:
    shares: dict[tuple[str, ...], float] = {}
    for route in plan.routes:
        way = (route.client, route.task, route.node, route.model, route.via or "")
        shares[way] = shares.get(way, 0.0) + route.share
    return shares
