"""Nodes in this process, a store of what they were told, and two plans to change between."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from planner.plan import Plan, Route, TierName
from serving.deploy.assignment_record import PlanInForce, plan_followed
from serving.deploy.assignment_store import AssignmentStore
from serving.deploy.lease import PLAN_CHANGE
from serving.errors import RefusedError
from serving.logs.read import Read, ReadPage
from serving.node.control import NodeControl, ServerControl
from serving.node.links.link_condition import LinkCondition
from serving.node.links.link_probe import LinkProbe, ProbeLimits
from serving.node.snapshot import NodeSnapshot
from serving.rollout.assignment import Assignment
from serving.rollout.execute import OnStep, RolloutReport
from serving.rollout.mend import mend
from serving.rollout.stages import MemoryBudgets, route_tables
from serving.rollout.transition import ClusterFacts, PlanTransition, no_step
from serving.routing.routes import RouteTable, RoutingMode
from support.node_fakes import ABOVE, TASKS, FakeRuntime, Servers, hierarchy, image

__all__ = [
    "BYTES", "CROWDED", "NEW", "OLD", "PATHS", "ROOMY", "Cluster", "cluster", "plan_of", "traffic",
]  # fmt: skip

MODELS = ("m0", "m1", "m2", "m3")
BYTES = {(node, model): 1 + index for node in ABOVE for index, model in enumerate(MODELS)}
PATHS = {"client": [("client", "client"), ("edge", "edge"), ("cloud", "cloud")]}
ROOMY = {"client": 9, "edge": 9, "cloud": 9}
CROWDED = {"client": 2, "edge": 3, "cloud": 4}
"""neither the client nor the edge can hold its old model beside its new one"""


def plan_of(
    onloading: dict[str, tuple[str, ...]], *routes: tuple[str, TierName, str, float]
) -> Plan:
    """Routes of the one client: (task, node, model, share); each node bears its tier's name."""
    return Plan(
        problem_digest="d",
        policy="p",
        onloading=onloading,
        routes=tuple(
            Route(client="client", task=task, tier=node, node=node, model=model, share=share)
            for task, node, model, share in routes
        ),
    )


OLD = plan_of({"client": ("m0",), "edge": ("m1",), "cloud": ("m3",)},
              ("depth", "client", "m0", 1.0), ("edges", "edge", "m1", 1.0))  # fmt: skip
NEW = plan_of({"client": ("m1",), "edge": ("m2",), "cloud": ("m3",)},
              ("depth", "client", "m1", 0.5), ("depth", "cloud", "m3", 0.5),
              ("edges", "edge", "m2", 1.0))  # fmt: skip


class Running:
    """`NodeControl` of the node of that name that runs now; its `failing` calls raise."""

    def __init__(self, name: str, servers: Servers) -> None:
        self._name = name
        self._servers = servers
        self.failing: dict[str, str] = {}

    def _now(self, method: str) -> ServerControl:
        if method in self.failing:
            raise RuntimeError(self.failing[method])
        return ServerControl(self._servers[self._name])

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        return await self._now("load").load(models)

    async def route(self, table: RouteTable) -> None:
        await self._now("route").route(table)

    async def table(self) -> RouteTable:
        return await self._now("table").table()

    async def drained(self, version: int) -> None:
        await self._now("drained").drained(version)

    async def retire(self, version: int, keep: frozenset[str]) -> dict[str, float]:
        return await self._now("retire").retire(version, keep)

    async def change_link(self, target: str, condition: LinkCondition) -> None:
        await self._now("change_link").change_link(target, condition)

    async def probe_link(self, target: str, limits: ProbeLimits) -> LinkProbe:
        return await self._now("probe_link").probe_link(target, limits)

    async def begin_link_traces(self) -> None:
        await self._now("begin_link_traces").begin_link_traces()

    async def switch_device(self, lost: bool) -> None:
        await self._now("switch_device").switch_device(lost)

    async def set_clock(self, ahead_s: float) -> None:
        await self._now("set_clock").set_clock(ahead_s)

    async def snapshot(self) -> NodeSnapshot:
        return await self._now("snapshot").snapshot()

    async def log_lines(self, read: Read) -> ReadPage:
        return await self._now("log_lines").log_lines(read)


class Cluster:
    """Nodes in this process, and a store of assignments in a folder."""

    def __init__(self, servers: Servers, folder: Path, budget: dict[str, int]) -> None:
        self.servers = servers
        self.nodes = {name: Running(name, servers) for name in servers}
        self.now_s = 0.0
        self.store = AssignmentStore(folder, lambda: self.now_s)
        self.facts = ClusterFacts(MemoryBudgets(BYTES, budget), PATHS)

    async def apply(
        self, plan: Plan, on_step: OnStep = no_step, owner: str = "a", without: Collection[str] = ()
    ) -> RolloutReport:
        assert self.store.acquire(PLAN_CHANGE, owner, 15.0).owner == owner
        record = self.store.begin_change(owner)
        new = PlanInForce(plan=plan, routing=RoutingMode.SHARES)

        async def write(
            told: Mapping[str, Assignment], ahead: Mapping[str, Assignment] | None
        ) -> None:
            followed = plan_followed(record, ahead, new, undoing=change.undoing)
            self.store.assign(owner, told, ahead, followed)

        nodes: dict[str, NodeControl] = {n: c for n, c in self.nodes.items() if n not in without}
        known = {name: told for name, told in record.nodes.items() if name in nodes}
        facts = self.facts.without(without)
        change = PlanTransition(nodes, known, record.version, facts, write, on_step)
        try:
            return await change.run(plan, time.monotonic())
        finally:
            self.store.release(PLAN_CHANGE, owner)

    async def restart(self, name: str) -> None:
        """A node's process is killed, and a fresh one takes up what it was told."""
        self.servers.kill(name)
        await self.restart_killed(name)

    async def restart_killed(self, name: str) -> None:
        """A fresh process takes up what the killed one was told."""
        server = await self.servers.start(name)
        server._executor._models._load = make_runtime
        told = self.store.assignment(name)
        assert told is not None
        await mend(ServerControl(server), told)

    def check(self, plan: Plan, known: bool = True) -> None:
        """The nodes hold `plan`, and are told to; and it is `known` to be in force."""
        version = self.store.record().version
        tables = route_tables(plan, version, ("client",))
        for name, server in self.servers.items():
            models = tuple(sorted(plan.onloading[name]))
            assert tuple(sorted(server.snapshot().models)) == models, name
            assert server.snapshot().plan_version == version, name
            assert self.store.assignment(name) == Assignment(version, models, tables.get(name))
        assert self.servers["client"].table == tables["client"]
        assert self.store.record().change is None
        in_force = self.store.record().in_force
        assert (in_force is not None) is known
        if in_force is None:
            return
        assert (in_force.plan.digest, in_force.plan.version) == (plan.digest, version)


def make_runtime(model: str) -> FakeRuntime:
    return FakeRuntime(MODELS.index(model), batch_s=0.001)


@asynccontextmanager
async def cluster(folder: Path, budget: dict[str, int]) -> AsyncIterator[Cluster]:
    """With the plan `OLD` in force."""
    async with hierarchy({}) as (_, servers):
        for server in servers.values():
            server._executor._models._load = make_runtime
        found = Cluster(servers, folder, budget)
        await found.apply(OLD)
        found.check(OLD)
        yield found


@asynccontextmanager
async def traffic(found: Cluster) -> AsyncIterator[Counter[str]]:
    """Queries to the client until the block ends, and what became of them."""
    outcomes: Counter[str] = Counter()

    async def ask(task: str) -> None:
        try:
            await found.servers["client"].answer(task, image(1))
            outcomes["answered"] += 1
        except RefusedError as refusal:
            outcomes[refusal.reason] += 1

    asked: list[asyncio.Future[None]] = []

    async def drive() -> None:
        while True:
            asked.append(asyncio.ensure_future(ask(TASKS[len(asked) % 2])))
            await asyncio.sleep(0.004)

    driving = asyncio.ensure_future(drive())
    try:
        yield outcomes
    finally:
        driving.cancel()
        await asyncio.gather(*asked)
    assert sum(outcomes.values()) == len(asked)
