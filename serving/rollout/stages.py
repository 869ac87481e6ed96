"""From one plan to the next without losing a query or exceeding a memory budget: the stages.

Every stage is make before break: models are loaded where they fit beside what is there, then
routes turn to what is there and stays, then what no route needs any more is unloaded. Where old
and new models fit together one stage is enough. A crowded node takes several, and gives up in each
only as much as the next of its new models needs, first what others can stand in for; it waits for
other nodes' changes where nothing can. Queries of what it gives up go to ways of the new plan that
are open already, else up to the cloud, else to whatever else on the client's path serves them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from planner.plan import Plan, Route
from serving.node.snapshot import NodeSnapshot
from serving.rollout.interim_routes import Capabilities, Held, Path, interim_table, open_ways
from serving.rollout.refuges import FIXED_SHARES, QueueRouting, Refuges
from serving.routing.routes import RouteTable, Target

__all__ = [
    "Goal", "MemoryBudgets", "Stage", "next_version", "plan_rollout", "plan_stages",
    "route_tables", "target_of",
]  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One step of a change: load, then route, then unload all that is not kept."""

    load: Mapping[str, tuple[str, ...]]
    """node -> models to load"""
    routes: Mapping[str, RouteTable]
    """client -> routes to follow once they are loaded"""
    keep: Held
    """node -> models it keeps once queries of older routes are done"""


@dataclass(frozen=True)
class Goal:
    """Where a change leads: a plan's models and routes, or those of the plan before."""

    models: Held
    tables: Mapping[str, RouteTable]
    """client -> routes; their version is that of the change's first stage"""

    def share(self, node: str, model: str) -> float:
        """Share of queries that go to `model` on `node`, summed over clients and tasks."""
        return sum(
            share
            for table in self.tables.values()
            for targets in table.routes.values()
            for target, share in targets
            if (target.node, target.model) == (node, model)
        )


def target_of(route: Route) -> Target:
    """Where a route of a plan leads."""
    return Target(route.tier, route.node, route.model, route.via or "")


def route_tables(
    plan: Plan,
    version: int,
    clients: tuple[str, ...],
    refuges: Mapping[str, Refuges] | None = None,
    queues: QueueRouting = FIXED_SHARES,
) -> dict[str, RouteTable]:
    """Each client's routes in `plan`, its `refuges`, and whether it follows its queues."""
    tables: dict[str, dict[str, list[tuple[Target, float]]]] = {name: {} for name in clients}
    for route in plan.routes:
        targets = tables[route.client].setdefault(route.task, [])
        targets.append((target_of(route), route.share))
    return {
        client: RouteTable(
            version,
            {task: tuple(targets) for task, targets in routes.items()},
            (refuges or {}).get(client, {}),
            queues.routing,
            queues.accuracy,
            plan.deadlines_s,
        )
        for client, routes in tables.items()
    }


def next_version(now: Mapping[str, NodeSnapshot]) -> int:
    """A plan version above that of every node: versions only ever rise, and nodes ignore an older
    one."""
    return 1 + max((snapshot.plan_version for snapshot in now.values()), default=0)


def plan_rollout(
    plan: Plan,
    version: int,
    old_routes: Mapping[str, RouteTable],
    held: Held,
    costs: MemoryBudgets,
    paths: Mapping[str, Path],
    serves: Mapping[str, Collection[str]],
    refuges: Mapping[str, Refuges] | None = None,
    queues: QueueRouting = FIXED_SHARES,
) -> tuple[Stage, ...]:
    """The stages to `plan`, with what its clients' `refuges` are; see `plan_stages`."""
    goal = Goal(
        {node: frozenset(plan.onloading.get(node, ())) for node in held},
        route_tables(plan, version, tuple(old_routes), refuges, queues),
    )
    return plan_stages(goal, version, old_routes, held, costs, paths, serves)


def plan_stages(
    goal: Goal,
    version: int,
    old_routes: Mapping[str, RouteTable],
    held: Held,
    costs: MemoryBudgets,
    paths: Mapping[str, Path],
    serves: Mapping[str, Collection[str]],
) -> tuple[Stage, ...]:
    """The stages to `goal`, from what the nodes hold and the clients follow now.

    `paths` are the (tier, node) pairs that each client reaches, the cloud last, `serves` the tasks
    of models as far as they are known besides those that routes name. The first stage's routes are
    `version`, and each further stage's one more. Raises `ValueError` for a plan that does not fit.
    """
    wanted, final = goal.models, goal.tables
    able = Capabilities.known((*old_routes.values(), *final.values()), serves)
    present, tables = dict(held), dict(old_routes)
    stages: list[Stage] = []
    while True:
        load = {node: _that_fit(node, models, goal, costs) for node, models in present.items()}
        present = {node: models | set(load[node]) for node, models in present.items()}
        if all(wanted[node] <= models for node, models in present.items()):
            routes = {
                client: replace(table, version=version + len(stages))
                for client, table in final.items()
            }
            return (*stages, Stage(load, routes, wanted))
        stays = _step_down(present, wanted, costs, _Ways(tables, final, able, paths))
        tables = {
            client: interim_table(
                table, final[client], able, stays, paths[client], version + len(stages)
            )
            for client, table in tables.items()
        }
        stages.append(Stage(load, tables, stays))
        present = dict(stays)


@dataclass(frozen=True)
class MemoryBudgets:
    """What models take and nodes have."""

    model_bytes: Mapping[tuple[str, str], int]
    """s_m by (node, model)"""
    memory_bytes: Mapping[str, int]
    """mu_n by node"""

    def bytes_of(self, node: str, model: str) -> int:
        """What `model` takes on `node`. One of another benchmark, of which nothing is known, is
        taken to fill the node, so that it goes before anything comes."""
        return self.model_bytes.get((node, model), self.memory_bytes[node])

    def used_bytes(self, node: str, models: Iterable[str]) -> int:
        """What `models` take on `node`."""
        return sum(self.bytes_of(node, model) for model in models)


@dataclass(frozen=True)
class _Ways:
    """What queries can do while models go."""

    tables: Mapping[str, RouteTable]
    final: Mapping[str, RouteTable]
    able: Capabilities
    paths: Mapping[str, Path]

    def burden(self, node: str, gone: Iterable[str], present: Held) -> tuple[float, float]:
        """(share of queries that nothing could answer, share that others had to) if `node` gave
        up `gone`, summed over clients and tasks."""
        gone = frozenset(gone)
        without = {**present, node: present[node] - gone}
        lost = moved = 0.0
        for client, table in self.tables.items():
            for task, targets in table.routes.items():
                share = sum(s for t, s in targets if t.node == node and t.model in gone)
                if share > 0:
                    path = self.paths[client]
                    ways = open_ways(task, self.final[client], self.able, without, path)
                    rest = any(t.model in without.get(t.node, frozenset()) for t, _ in targets)
                    moved += share
                    lost += 0.0 if ways or rest else share
        return lost, moved


def _step_down(present: Held, wanted: Held, costs: MemoryBudgets, ways: _Ways) -> Held:
    """What nodes keep so that at least one of them, and all that can without leaving a query
    without a way, have room for one more new model."""
    stays = dict(present)
    crowded = [node for node, models in present.items() if wanted[node] - models]
    offers = {node: _given_up(node, stays, wanted[node], costs, ways) for node in crowded}
    moved = False
    for node in sorted(crowded, key=lambda name: (ways.burden(name, offers[name], stays), name)):
        gone = _given_up(node, stays, wanted[node], costs, ways)
        if moved and ways.burden(node, gone, stays)[0] > 0:
            continue
        stays[node] = stays[node] - gone
        moved = True
    return stays


def _that_fit(
    node: str, models: frozenset[str], goal: Goal, costs: MemoryBudgets
) -> tuple[str, ...]:
    """New models that fit beside `models`, the most used first."""
    fitting: list[str] = []
    for model in sorted(
        goal.models[node] - models, key=lambda name: (-goal.share(node, name), name)
    ):
        if costs.used_bytes(node, (*models, *fitting, model)) <= costs.memory_bytes[node]:
            fitting.append(model)
    return tuple(fitting)


def _given_up(
    node: str, present: Held, wanted: frozenset[str], costs: MemoryBudgets, ways: _Ways
) -> frozenset[str]:
    """What a crowded node unloads so that one more new model fits: what burdens others least."""
    models, budget_bytes = present[node], costs.memory_bytes[node]
    if costs.used_bytes(node, wanted) > budget_bytes:
        raise ValueError(f"the plan's models for {node} take more than its {budget_bytes} bytes")
    smallest = min(costs.bytes_of(node, model) for model in wanted - models)
    needed = costs.used_bytes(node, models) + smallest - budget_bytes
    gone: list[str] = []
    while needed > 0:
        left = sorted(models - wanted - set(gone))
        gone.append(min(left, key=lambda model: ways.burden(node, (*gone, model), present)))
        needed -= costs.bytes_of(node, gone[-1])
    for model in list(gone):  # an early one may be needless once a larger one goes too
        if needed + costs.bytes_of(node, model) <= 0:
            gone.remove(model)
            needed += costs.bytes_of(node, model)
    return frozenset(gone)
