"""A change of plan is written down, done, and undone if it fails; nodes mend themselves."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from planner.plan import Plan, Route, TierName
from serving.deploy.assignment_store import AssignmentStore
from serving.deploy.lease import PLAN_CHANGE
from serving.errors import PlanChangeConflictError, PlanChangeError, RefusedError
from serving.logs.line import LogLine
from serving.node.control import NodeControl, ServerControl
from serving.node.snapshot import NodeSnapshot
from serving.rollout.assignment import Assignment
from serving.rollout.execute import OnStep, RolloutReport, Step
from serving.rollout.mend import keep_assignment, mend
from serving.rollout.stages import MemoryBudgets, Stage, route_tables
from serving.rollout.transition import ClusterFacts, PlanTransition, no_step
from serving.routing.routes import RouteTable
from support.node_fakes import ABOVE, TASKS, FakeRuntime, Servers, hierarchy, image

MODELS = ("m0", "m1", "m2", "m3")
BYTES = {(node, model): 1 + index for node in ABOVE for index, model in enumerate(MODELS)}
PATHS = {"client": [("client", "client"), ("edge", "edge"), ("cloud", "cloud")]}
ROOMY = {"client": 9, "edge": 9, "cloud": 9}
CROWDED = {"client": 2, "edge": 3, "cloud": 4}
"""neither the client nor the edge can hold its old model beside its new one"""


def plan_of(
    onloading: dict[str, tuple[str, ...]], *routes: tuple[str, TierName, str, float]
) -> Plan:
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

    async def snapshot(self) -> NodeSnapshot:
        return await self._now("snapshot").snapshot()

    async def log_lines(self, after_s: float) -> list[LogLine]:
        return await self._now("log_lines").log_lines(after_s)


class Cluster:
    """Nodes in this process, and a store of assignments in a folder."""

    def __init__(self, servers: Servers, folder: Path, budget: dict[str, int]) -> None:
        self.servers = servers
        self.nodes = {name: Running(name, servers) for name in servers}
        self.now_s = 0.0
        self.store = AssignmentStore(folder, lambda: self.now_s)
        self.facts = ClusterFacts(MemoryBudgets(BYTES, budget), PATHS)

    async def apply(self, plan: Plan, on_step: OnStep = no_step, owner: str = "a") -> RolloutReport:
        assert self.store.acquire(PLAN_CHANGE, owner, 15.0).owner == owner
        record = self.store.begin_change(owner)

        async def write(
            told: Mapping[str, Assignment], ahead: Mapping[str, Assignment] | None
        ) -> None:
            self.store.assign(owner, told, ahead)

        nodes: dict[str, NodeControl] = dict(self.nodes)
        change = PlanTransition(nodes, record.nodes, record.version, self.facts, write, on_step)
        try:
            return await change.run(plan, time.monotonic())
        finally:
            self.store.release(PLAN_CHANGE, owner)

    async def restart(self, name: str) -> None:
        """A node's process is killed, and a fresh one takes up what it was told."""
        self.servers.kill(name)
        server = await self.servers.start(name)
        server._executor._load = make_runtime
        told = self.store.assignment(name)
        assert told is not None
        await mend(ServerControl(server), told)

    def check(self, plan: Plan) -> None:
        """The nodes hold `plan`, and are told to."""
        version = self.store.record().version
        tables = route_tables(plan, version, ("client",))
        for name, server in self.servers.items():
            models = tuple(sorted(plan.onloading[name]))
            assert tuple(sorted(server.snapshot().models)) == models, name
            assert server.snapshot().plan_version == version, name
            assert self.store.assignment(name) == Assignment(version, models, tables.get(name))
        assert self.servers["client"].table == tables["client"]
        assert self.store.record().change is None


def make_runtime(model: str) -> FakeRuntime:
    return FakeRuntime(MODELS.index(model), batch_s=0.001)


@asynccontextmanager
async def cluster(folder: Path, budget: dict[str, int]) -> AsyncIterator[Cluster]:
    """With the plan `OLD` in force."""
    async with hierarchy({}) as (_, servers):
        for server in servers.values():
            server._executor._load = make_runtime
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


def at(step: Step, act: Callable[[], Awaitable[None]], stage_number: int = 1) -> OnStep:
    """Does `act` before that step of that stage."""
    seen: Counter[Step] = Counter()

    async def on_step(now: Step, stage: Stage, version: int) -> None:
        seen[now] += 1
        if now is step and seen[now] == stage_number:
            await act()

    return on_step


async def break_off() -> None:
    raise ConnectionError("the edge is gone")


@pytest.fixture(params=[ROOMY, CROWDED], ids=["one stage", "two stages"])
def budget(request: pytest.FixtureRequest) -> dict[str, int]:
    found: dict[str, int] = request.param
    return found


def test_what_a_node_must_hold_is_written_before_it_is_asked_for_it(tmp_path: Path) -> None:
    written: list[tuple[Step, Assignment | None, Assignment | None]] = []

    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:

            async def note(step: Step, stage: Stage, version: int) -> None:
                store = found.store
                written.append((step, store.assignment("client"), store.assignment("edge")))
                edge = found.servers["edge"].snapshot()
                holds = {Step.LOAD: 1, Step.ROUTE: 2, Step.DRAIN: 2, Step.UNLOAD: 2}
                assert len(edge.models) == holds[step]
                follows = found.servers["client"].table.version
                assert follows == (1 if step in (Step.LOAD, Step.ROUTE) else 2)

            await found.apply(NEW, note)
            found.check(NEW)

    asyncio.run(scenario())
    old, new = (route_tables(plan, v, ("client",))["client"] for plan, v in ((OLD, 1), (NEW, 2)))
    both = Assignment(2, ("m0", "m1"), new)
    assert written == [
        (Step.LOAD, Assignment(1, ("m0", "m1"), old), Assignment(1, ("m1", "m2"))),
        (Step.ROUTE, both, Assignment(2, ("m1", "m2"))),
        (Step.DRAIN, both, Assignment(2, ("m1", "m2"))),
        (Step.UNLOAD, Assignment(2, ("m1",), new), Assignment(2, ("m2",))),
    ]


@pytest.mark.parametrize("step", [Step.LOAD, Step.ROUTE, Step.DRAIN])
def test_a_change_that_breaks_off_is_undone_without_a_query_lost(
    tmp_path: Path, budget: dict[str, int], step: Step
) -> None:
    async def scenario() -> Counter[str]:
        async with cluster(tmp_path, budget) as found, traffic(found) as outcomes:
            stages = 1 if budget is ROOMY else 2
            for number in range(1, stages + 1):
                with pytest.raises(
                    PlanChangeError, match=r"broke off: the edge is gone\. The nodes are back on"
                ):
                    await found.apply(NEW, at(step, break_off, number))
                found.check(OLD)
            await found.apply(NEW)
            found.check(NEW)
        return outcomes

    assert set(asyncio.run(scenario())) == {"answered"}


def test_an_interim_stage_that_breaks_off_before_it_unloads_is_undone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, CROWDED) as found:
            with pytest.raises(PlanChangeError, match="are back on the plan before"):
                await found.apply(NEW, at(Step.UNLOAD, break_off))
            found.check(OLD)

    asyncio.run(scenario())


def test_a_plan_that_is_in_force_stays_though_a_node_cannot_unload_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:
            found.nodes["edge"].failing["retire"] = "it hangs"
            report = await found.apply(NEW)
            assert report.version == 2
            assert report.mended == {"edge": "it hangs"}
            told = found.store.assignment("edge")
            assert told == Assignment(2, ("m2",))
            await mend(ServerControl(found.servers["edge"]), told)
            found.check(NEW)

    asyncio.run(scenario())


def test_where_going_back_fails_too_the_error_says_what_each_node_holds(tmp_path: Path) -> None:
    async def scenario() -> str:
        async with cluster(tmp_path, CROWDED) as found:

            async def forget_how() -> None:
                found.nodes["edge"].failing["load"] = "no memory left"

            with pytest.raises(PlanChangeError) as raised:
                await found.apply(NEW, at(Step.LOAD, forget_how, 2))
            record = found.store.record()
            assert record.change is None
            assert record.nodes["edge"] == Assignment(record.version, ("m1",))
            async with asyncio.TaskGroup() as group:  # as every node does for itself
                for name, server in found.servers.items():
                    group.create_task(mend(ServerControl(server), record.nodes[name]))
            found.check(OLD)
            return str(raised.value)

    said = asyncio.run(scenario())
    assert "the change of plan broke off: no memory left" in said
    assert "Going back broke off as well: no memory left" in said
    assert "edge holds no model at version" in said
    assert "Each node goes back to the plan before" in said


@pytest.mark.parametrize("victim", ["client", "edge", "cloud"])
@pytest.mark.parametrize("step", list(Step))
def test_a_node_that_is_restarted_in_a_change_holds_the_new_plan_after_it(
    tmp_path: Path, budget: dict[str, int], step: Step, victim: str
) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, budget) as found:
            await found.apply(NEW, at(step, lambda: found.restart(victim)))
            found.check(NEW)

    asyncio.run(scenario())


@pytest.mark.parametrize("stage_number", [1, 2])
@pytest.mark.parametrize("step", list(Step))
def test_a_change_whose_process_is_killed_is_completed_or_reverted_by_the_nodes(
    tmp_path: Path, step: Step, stage_number: int
) -> None:
    """From the first moment at which the new routes may be in force on, it is completed."""

    async def scenario() -> None:
        async with cluster(tmp_path, CROWDED) as found:

            async def be_killed() -> None:
                await asyncio.sleep(60)

            on_step = at(step, be_killed, stage_number)
            changing = asyncio.ensure_future(found.apply(NEW, on_step, owner="killed"))
            await asyncio.sleep(0.3)
            found.store.release = lambda name, owner: True  # type: ignore[method-assign]
            changing.cancel()  # nothing is done any more
            await asyncio.wait([changing])
            found.now_s += 16
            record = found.store.record()
            for name, server in found.servers.items():
                await mend(ServerControl(server), record.nodes[name])
            completed = stage_number == 2 and step is not Step.LOAD
            found.check(NEW if completed else OLD)

    asyncio.run(scenario())


def test_a_change_that_was_stopped_for_too_long_leaves_the_nodes_to_the_next_one(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:

            async def be_stopped() -> None:
                found.now_s += 16
                await found.apply(OLD, owner="next")

            with pytest.raises(PlanChangeConflictError, match="the lease of a ran out"):
                await found.apply(NEW, at(Step.DRAIN, be_stopped))
            found.check(OLD)

    asyncio.run(scenario())


def test_what_a_node_has_lost_is_mended_before_a_change_begins(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:
            await found.servers["edge"].retire(1, frozenset())

            async def look() -> None:
                assert found.servers["edge"].snapshot().models == ("m1",)

            await found.apply(NEW, at(Step.LOAD, look))
            found.check(NEW)

    asyncio.run(scenario())


def test_nodes_whose_assignments_were_lost_go_back_to_what_they_held(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:
            found.store = AssignmentStore(tmp_path / "empty")
            with pytest.raises(PlanChangeError, match="are back on the plan before"):
                await found.apply(NEW, at(Step.ROUTE, break_off))
            found.check(OLD)

    asyncio.run(scenario())


def test_a_node_that_lost_models_or_routes_holds_them_again_after_its_next_look(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:
            looks = asyncio.Semaphore(0)
            failures = [ConnectionError("no answer")]

            async def read(name: str) -> Assignment | None:
                if failures:
                    raise failures.pop()
                return found.store.assignment(name)

            async def next_look(seconds: float) -> None:
                assert seconds == 5.0
                await looks.acquire()

            keeping = [
                asyncio.ensure_future(
                    keep_assignment(
                        ServerControl(server), partial(read, name), asyncio.Lock(), name,
                        sleep=next_look,
                    )
                )
                for name, server in found.servers.items()
            ]  # fmt: skip
            client, edge = found.servers["client"], found.servers["edge"]
            await edge.retire(1, frozenset())
            await edge.load(("m0",))
            client._router.replace(RouteTable(0, {}))
            for _ in range(2):  # the first one of one node fails
                for _ in keeping:
                    looks.release()
                await asyncio.sleep(0.1)
            found.check(OLD)
            assert not any(task.done() for task in keeping)
            for task in keeping:
                task.cancel()

    asyncio.run(scenario())
    said = [record.getMessage() for record in caplog.records]
    assert any("cannot look after itself: ConnectionError: no answer" in text for text in said)
    assert any("mended: unload m0; load m1" in text for text in said)
    assert any("mended: follow version 1" in text for text in said)


def test_a_node_mends_nothing_while_a_change_speaks_to_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:
            lock = asyncio.Lock()
            edge = ServerControl(found.servers["edge"])
            read = 0

            async def read_assignment() -> Assignment | None:
                nonlocal read
                read += 1
                return found.store.assignment("edge")

            async with lock:
                keeping = asyncio.ensure_future(
                    keep_assignment(edge, read_assignment, lock, "edge", period_s=0.001)
                )
                await asyncio.sleep(0.05)
                assert read == 0
            await asyncio.sleep(0.05)
            assert read > 0
            keeping.cancel()

    asyncio.run(scenario())


def test_an_older_plans_call_to_unload_is_ignored(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:
            await found.apply(NEW)
            assert await found.nodes["edge"].retire(1, frozenset()) == {}
            found.check(NEW)

    asyncio.run(scenario())
