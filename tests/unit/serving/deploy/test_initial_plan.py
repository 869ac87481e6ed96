"""The plan that nodes are told before any runs: the same as a change of plan leaves them with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cluster.demand import Phase
from cluster.errors import InputError
from planner.plan import Plan
from serving.deploy.assignment_record import PlanInForce, plan_followed
from serving.deploy.assignment_store import AssignmentStore
from serving.deploy.initial_plan import put_first_plan
from serving.deploy.lease import PLAN_CHANGE
from serving.errors import BudgetError
from serving.node.snapshot import NodeSnapshot
from serving.rollout.assignment import Assignment
from serving.rollout.refuges import refuges_of
from serving.rollout.transition import ClusterFacts, PlanTransition
from serving.rollout.ways_in_time import ways_in_time
from serving.routing.routes import RouteTable, RoutingMode
from serving.setting.setting import Setting
from support.demo_setting import planned_demo


@pytest.fixture(scope="module")
def planned() -> tuple[Setting, Plan, Phase]:
    return planned_demo()


@pytest.fixture
def store(tmp_path: Path) -> AssignmentStore:
    return AssignmentStore(tmp_path)


class HeldNode:
    """`NodeControl` of a node that does what it is told, at once."""

    def __init__(self, name: str) -> None:
        self._name, self._models, self._version = name, frozenset[str](), 0
        self._table = RouteTable(0, {})

    async def snapshot(self) -> NodeSnapshot:
        models = tuple(sorted(self._models))
        return NodeSnapshot(
            self._name, 0.0, 0.0, 0, 0, models, self._version, {}, {}, {}, {},
            tasks=dict.fromkeys(models, ("depth",)),
        )  # fmt: skip

    async def table(self) -> RouteTable:
        return self._table

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        self._models |= set(models)
        return dict.fromkeys(models, 0.1)

    async def route(self, table: RouteTable) -> None:
        self._table = table

    async def drained(self, version: int) -> None:
        pass

    async def retire(self, version: int, keep: frozenset[str]) -> dict[str, float]:
        self._version, self._models = version, keep
        return {}


def test_the_first_plan_is_what_a_change_of_plan_leaves_on_nodes_that_held_nothing(
    planned: tuple[Setting, Plan, Phase], tmp_path: Path
) -> None:
    setting, plan, phase = planned
    topology = setting.topology
    changed, put = AssignmentStore(tmp_path / "changed"), AssignmentStore(tmp_path / "put")

    async def write(told: Mapping[str, Assignment], ahead: Mapping[str, Assignment] | None) -> None:
        new = PlanInForce(plan=plan, routing=RoutingMode.SHARES)
        followed = plan_followed(changed.record(), ahead, new, undoing=False)
        changed.assign("a", told, ahead, followed)

    changed.acquire(PLAN_CHANGE, "a", 15.0)
    nodes: Any = {node.name: HeldNode(node.name) for node in topology.nodes}
    facts = ClusterFacts.of(topology, setting.model_bytes)
    refuges = refuges_of(topology, plan, setting.accuracy, ways_in_time(setting.problem(phase)))
    asyncio.run(PlanTransition(nodes, {}, 0, facts, write).run(plan, time.monotonic(), refuges))
    assert put_first_plan(put, setting, plan)
    assert put.record().nodes == changed.record().nodes
    assert put.record().in_force == changed.record().in_force
    assert put.record().version == 1
    assert any(told.models for told in put.record().nodes.values())


def test_the_first_process_puts_the_plan_and_others_leave_what_is_there(
    planned: tuple[Setting, Plan, Phase], store: AssignmentStore
) -> None:
    setting, plan, _ = planned
    assert put_first_plan(store, setting, plan)
    record = store.record()
    assert record.in_force is not None
    assert record.in_force.plan.digest == plan.digest
    assert record.leases == {}
    store.acquire(PLAN_CHANGE, "testbed deploy", 15.0)
    store.assign("testbed deploy", {"cloud": Assignment(7, ())}, None)
    store.release(PLAN_CHANGE, "testbed deploy")
    assert not put_first_plan(store, setting, plan)
    assert store.record().nodes["cloud"] == Assignment(7, ())


def test_a_builder_waits_for_no_other(
    planned: tuple[Setting, Plan, Phase], store: AssignmentStore
) -> None:
    setting, plan, _ = planned
    store.acquire(PLAN_CHANGE, "the plan of a Serve config (process 1)", 15.0)
    assert not put_first_plan(store, setting, plan)
    assert store.record().version == 0


def test_a_plan_that_breaks_a_budget_or_says_of_no_load_is_not_put(
    planned: tuple[Setting, Plan, Phase], store: AssignmentStore
) -> None:
    setting, plan, _ = planned
    held = {**plan.onloading, "client-2": tuple(card.name for card in setting.cards)}
    with pytest.raises(BudgetError):
        put_first_plan(store, setting, plan.model_copy(update={"onloading": held}))
    with pytest.raises(InputError, match="for what load"):
        put_first_plan(store, setting, plan.model_copy(update={"load_qps": {}}))
    assert store.record().version == 0
