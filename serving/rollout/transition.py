"""A change of plan from beginning to end: written down, done, checked, and undone if it fails.

What each node has to hold is written before any node is called, so a node that is started anew in
the middle takes up what the next call expects of it:

    before a stage loads    its models of before and the new ones, the routes of before
    before routes turn      the same models, the new routes
    before it unloads       what stays, the new routes
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from cluster.topology import Topology
from planner.plan import Plan
from serving.errors import PlanChangeConflictError, PlanChangeError
from serving.node.control import NodeControl, call_each
from serving.node.snapshot import NodeSnapshot
from serving.rollout.assignment import Assignment, find_mending, with_version
from serving.rollout.execute import OnStep, RolloutReport, Step, execute_rollout
from serving.rollout.interim_routes import Path
from serving.rollout.mend import mend_all
from serving.rollout.refuges import FIXED_SHARES, QueueRouting, Refuges
from serving.rollout.stages import (
    Goal,
    MemoryBudgets,
    Stage,
    next_version,
    plan_stages,
    route_tables,
)
from serving.routing.routes import RouteTable

__all__ = ["Assignments", "ClusterFacts", "PlanTransition", "Write", "no_step"]

NO_ROUTES = RouteTable(0, {})
LOOK_TIMEOUT_S = 10.0
"""for what a node holds, once a change and its undoing have both failed"""
_log = logging.getLogger(__name__)

Assignments = Mapping[str, Assignment]
Write = Callable[[Assignments, Assignments | None], Awaitable[None]]
"""keeps what nodes are told, and what they are to be told should this process vanish; None at the
end of the change, where both are the same"""


async def no_step(step: Step, stage: Stage, version: int) -> None:
    """Nothing is done between the steps of a change."""


@dataclass(frozen=True)
class ClusterFacts:
    """What does not change with a plan."""

    costs: MemoryBudgets
    paths: Mapping[str, Path]
    """client -> the (tier, node) pairs that it reaches, the cloud last"""

    def without(self, nodes: Collection[str]) -> ClusterFacts:
        """For a change in which `nodes` have no part."""
        paths = {
            client: [place for place in path if place[1] not in nodes]
            for client, path in self.paths.items()
            if client not in nodes
        }
        return ClusterFacts(self.costs, paths)

    @classmethod
    def of(cls, topology: Topology, model_bytes: Mapping[tuple[str, str], int]) -> ClusterFacts:
        """Of a hierarchy on which models take `model_bytes`, by (node, model)."""
        return cls(
            MemoryBudgets(model_bytes, {node.name: int(node.memory) for node in topology.nodes}),
            {
                client.name: [
                    (str(node.tier), node.name) for node in topology.reached_from(client.name)
                ]
                for client in topology.clients
            },
        )


class PlanTransition:
    """One change of plan on `nodes`, which were told `recorded` last: the assignments by node.

    `version` is the highest that any node was told, `write` keeps assignments. `on_step` is
    awaited when a step's assignments are written and nothing of the step is done yet.
    """

    def __init__(
        self,
        nodes: Mapping[str, NodeControl],
        recorded: Assignments,
        version: int,
        facts: ClusterFacts,
        write: Write,
        on_step: OnStep = no_step,
    ) -> None:
        self._nodes = nodes
        self._before = dict(recorded)
        self._version = version
        self._facts = facts
        self._write = write
        self._on_step = on_step
        self.undoing = False
        """whether the change broke off, so that what is written leads back"""

    async def run(
        self,
        plan: Plan,
        started_s: float,
        refuges: Mapping[str, Refuges] | None = None,
        queues: QueueRouting = FIXED_SHARES,
    ) -> RolloutReport:
        """Put `plan` in force, with the `refuges` of its clients.

        Raises `PlanChangeError` if that failed and the nodes were led back to where they were, or
        will go there by themselves; `PlanChangeConflictError` if another change took over; and
        `ClusterError` if a node gave no answer before anything was touched.
        """
        now, tables = await self._look()
        if any(
            find_mending(assignment, now[node], tables.get(node, NO_ROUTES))
            for node, assignment in self._before.items()
        ):
            await self._mend(self._before)
            now, tables = await self._look()
        for node, seen in now.items():  # of what was never told, what it holds is what it had
            kept = Assignment(seen.plan_version, seen.models, tables.get(node))
            self._before.setdefault(node, kept)
        self._version = max(self._version, next_version(now) - 1)
        goal = Goal(
            {node: frozenset(plan.onloading.get(node, ())) for node in now},
            route_tables(plan, self._version + 1, tuple(tables), refuges, queues),
        )
        stages = self._stages(goal, now, tables)
        try:
            return await self._carry_out(stages, now, started_s)
        except PlanChangeConflictError:
            raise  # the nodes are another change's now
        except Exception as error:
            _log.exception("the change to a plan of %s broke off; it is undone", plan.policy)
            raise await self._undo(error) from error

    async def _carry_out(
        self, stages: Sequence[Stage], now: Mapping[str, NodeSnapshot], started_s: float
    ) -> RolloutReport:
        told = dict(self._before)
        held = {node: frozenset(snapshot.models) for node, snapshot in now.items()}
        last = stages[-1]
        unloading = False

        async def on_step(step: Step, stage: Stage, version: int) -> None:
            nonlocal told, held, unloading
            if step is Step.LOAD:
                held = {node: models | set(stage.load[node]) for node, models in held.items()}
                told = {
                    node: replace(assignment, models=tuple(sorted(held[node])))
                    for node, assignment in told.items()
                }
            elif step is not Step.DRAIN:
                held = dict(stage.keep) if step is Step.UNLOAD else held
                told = _told(version, held, stage.routes)
            if step is not Step.DRAIN:
                unloading = stage is last and step is Step.UNLOAD
                turned = stage is last and step is Step.ROUTE
                ahead = _told(version, last.keep, last.routes) if turned else self._before
                self._version = max(self._version, *(each.version for each in told.values()))
                await self._write(told, None if unloading else ahead)
            await self._on_step(step, stage, version)

        try:
            report = await execute_rollout(stages, self._nodes, on_step, started_s=started_s)
        except PlanChangeConflictError:
            raise
        except Exception:
            if not unloading:
                raise
            # The new routes are in force and need nothing more: a node that did not unload
            # does so when it looks after itself.
            _log.exception("models of older plans were not all unloaded")
            spent_s = time.monotonic() - started_s
            report = RolloutReport(
                self._version, spent_s, spent_s, spent_s, 0.0, stages=len(stages)
            )
        return replace(report, mended=await self._mend(told))

    async def _undo(self, error: Exception) -> PlanChangeError:
        """Lead the nodes back to the assignments of before; what there is to be told of it."""
        self.undoing = True
        why = f"the change of plan broke off: {_in_one_line(error)}"
        try:
            now, tables = await self._look()
            version = 1 + max(self._version, next_version(now) - 1)
            goal = Goal(
                {node: frozenset(self._before[node].models) for node in now},
                {client: _table(self._before[client], version) for client in tables},
            )
            report = await self._carry_out(self._stages(goal, now, tables), now, time.monotonic())
        except PlanChangeConflictError as conflict:
            return conflict
        except Exception as second:  # noqa: BLE001 - it is told with the first
            _log.exception("the change of plan could not be undone at once")
            return await self._leave(f"{why}. Going back broke off as well: {_in_one_line(second)}")
        return PlanChangeError(
            f"{why}. The nodes are back on the plan before, as version {report.version}"
        )

    async def _leave(self, why: str) -> PlanChangeError:
        """Write down where the nodes have to go by themselves, and say what they hold now."""
        self._version += 1
        back = with_version(self._before, self._version)
        try:
            await self._write(back, None)
            then = f"Each node goes back to the plan before, as version {self._version}, by itself"
        except Exception as error:  # noqa: BLE001 - it is told with the others
            then = f"The assignments could not be written: {_in_one_line(error)}"
        holdings = await asyncio.gather(*(self._holding(name) for name in self._nodes))
        return PlanChangeError(f"{why}. Now {'; '.join(holdings)}. {then}")

    async def _holding(self, name: str) -> str:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                seen = await self._nodes[name].snapshot()
        except Exception as error:  # noqa: BLE001 - it is told with the others
            return f"{name} gives no answer ({type(error).__name__})"
        models = ", ".join(seen.models) or "no model"
        return f"{name} holds {models} at version {seen.plan_version}"

    async def _mend(self, assignments: Assignments) -> dict[str, str]:
        """Have the nodes hold `assignments`; words on those that did not. What cannot be mended now
        the nodes mend themselves."""
        found = await mend_all(self._nodes, assignments)
        for name, outcome in found.items():
            _log.warning("node %s differed from its assignment: %s", name, outcome)
        return {name: str(outcome) for name, outcome in found.items()}

    async def _look(self) -> tuple[dict[str, NodeSnapshot], dict[str, RouteTable]]:
        snapshots = {name: node.snapshot() for name, node in self._nodes.items()}
        tables = {name: self._nodes[name].table() for name in self._facts.paths}
        return await asyncio.gather(call_each(snapshots), call_each(tables))

    def _stages(
        self, goal: Goal, now: Mapping[str, NodeSnapshot], tables: Mapping[str, RouteTable]
    ) -> tuple[Stage, ...]:
        version = max(table.version for table in goal.tables.values())
        return plan_stages(
            goal,
            version,
            tables,
            {name: frozenset(snapshot.models) for name, snapshot in now.items()},
            self._facts.costs,
            self._facts.paths,
            {model: tasks for snapshot in now.values() for model, tasks in snapshot.tasks.items()},
        )


def _told(
    version: int, held: Mapping[str, frozenset[str]], routes: Mapping[str, RouteTable]
) -> dict[str, Assignment]:
    return {
        node: Assignment(version, tuple(sorted(models)), routes.get(node))
        for node, models in held.items()
    }


def _table(assignment: Assignment, version: int) -> RouteTable:
    return replace(assignment.table or NO_ROUTES, version=version)


def _in_one_line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:300]
