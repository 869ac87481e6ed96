"""From one plan to the next without losing a query or exceeding a memory budget: the steps.

Make before break where old and new models fit together. Where they do not, the node's departing
models are first taken out of the routes (their queries go to what stays, or to the cloud), then
unloaded, and only then are the new ones loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from planner.plan import Plan
from serving.node.router import RouteTable, Target

__all__ = ["Transition", "plan_transition", "route_tables"]

Held = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Transition:
    """What to do, in order: interim routes and early unloads (if any), loads, routes, unloads."""

    interim: Mapping[str, RouteTable]
    """client -> routes to follow while the crowded nodes change; empty if none is crowded"""
    unload_first: Held
    """crowded node -> models it keeps before loading"""
    load: Mapping[str, tuple[str, ...]]
    """node -> models to load"""
    routes: Mapping[str, RouteTable]
    """client -> routes of the new plan"""
    keep: Held
    """node -> models it keeps at the end"""


def route_tables(plan: Plan, version: int, clients: tuple[str, ...]) -> dict[str, RouteTable]:
    """Each client's routes in `plan`."""
    tables: dict[str, dict[str, list[tuple[Target, float]]]] = {name: {} for name in clients}
    for route in plan.routes:
        targets = tables[route.client].setdefault(route.task, [])
        targets.append((Target(route.tier, route.node, route.model), route.share))
    return {
        client: RouteTable(version, {task: tuple(targets) for task, targets in routes.items()})
        for client, routes in tables.items()
    }


def plan_transition(
    plan: Plan,
    version: int,
    old_routes: Mapping[str, RouteTable],
    held: Held,
    model_bytes: Mapping[tuple[str, str], int],
    memory_bytes: Mapping[str, int],
) -> Transition:
    """The steps to `plan` as `version`, from what the nodes hold and the clients follow now.

    `model_bytes` is s_m by (node, model), `memory_bytes` mu_n by node. Interim routes, where they
    are needed, are `version`, and the plan's own the one after it.
    """
    wanted = {node: frozenset(plan.onloading.get(node, ())) for node in held}
    crowded = {
        node
        for node, models in held.items()
        if wanted[node] - models
        and sum(model_bytes[node, model] for model in models | wanted[node]) > memory_bytes[node]
    }
    staying = {node: held[node] & wanted[node] for node in crowded}
    fallback = _fallbacks(plan, held, crowded)
    interim = {
        client: _without(table, staying, fallback.get(client, {}), version)
        for client, table in old_routes.items()
    }
    return Transition(
        interim=interim if crowded else {},
        unload_first=staying,
        load={node: tuple(sorted(wanted[node] - models)) for node, models in held.items()},
        routes=route_tables(plan, version + bool(crowded), tuple(old_routes)),
        keep=wanted,
    )


def _fallbacks(plan: Plan, held: Held, crowded: set[str]) -> dict[str, dict[str, Target]]:
    """client -> task -> a way in the new plan that can be taken already, best share first."""
    found: dict[str, dict[str, Target]] = {}
    for route in sorted(plan.routes, key=lambda route: -route.share):
        ready = route.model in held.get(route.node, ()) and route.node not in crowded
        if ready:
            target = Target(route.tier, route.node, route.model)
            found.setdefault(route.client, {}).setdefault(route.task, target)
    return found


def _without(
    table: RouteTable, staying: Held, fallback: Mapping[str, Target], version: int
) -> RouteTable:
    """`table` with the models that leave crowded nodes taken out, shares going to the rest."""
    routes: dict[str, tuple[tuple[Target, float], ...]] = {}
    for task, targets in table.routes.items():
        total = sum(share for _, share in targets)
        kept = [
            (target, share)
            for target, share in targets
            if target.node not in staying or target.model in staying[target.node]
        ]
        left = sum(share for _, share in kept)
        if left > 0:
            routes[task] = tuple((target, share * total / left) for target, share in kept)
        elif task in fallback:
            routes[task] = ((fallback[task], total),)
        else:
            routes[task] = ()
    return RouteTable(version, routes)
