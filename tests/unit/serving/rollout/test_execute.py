"""Plans change under traffic on nodes in this process: nothing lost, no budget exceeded, fast."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from planner.plan import Plan
from serving.errors import RefusedError
from serving.logs.read import Read, ReadPage
from serving.node.control import ServerControl, call_each
from serving.node.links.link_condition import LinkCondition
from serving.node.links.link_probe import LinkProbe, ProbeLimits
from serving.node.snapshot import NodeSnapshot
from serving.rollout.execute import RolloutReport, Step, execute_rollout
from serving.rollout.stages import MemoryBudgets, Stage, next_version, plan_rollout, route_tables
from serving.rollout.transition import no_step
from serving.routing.routes import RouteTable
from support.changing_cluster import BYTES, PATHS, plan_of
from support.node_fakes import TASKS, FakeRuntime, hierarchy, image

pytestmark = pytest.mark.real_time

LOAD_S = 0.1


class HeldRuntime(FakeRuntime):
    """Says when it is closed."""

    def __init__(self, on_close: Callable[[], None]) -> None:
        super().__init__(batch_s=0.002)
        self._on_close = on_close

    def close(self) -> None:
        self._on_close()


class Memory:
    """Runtimes that take `LOAD_S` to load; knows what each node held at most."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    def load(self, node: str, model: str) -> FakeRuntime:
        runtime = HeldRuntime(partial(self._let_go, node, model))
        self.held[node] += BYTES[node, model]
        self.most[node] = max(self.most[node], self.held[node])
        time.sleep(LOAD_S)
        return runtime

    def _let_go(self, node: str, model: str) -> None:
        self.held[node] -= BYTES[node, model]


def change_under_traffic(
    plans: list[Plan], budget: dict[str, int]
) -> tuple[list[RolloutReport], Counter[str], Counter[str]]:
    """Put the plans in force one after another; (changes, outcomes, most held by node)."""
    memory = Memory()

    async def scenario() -> tuple[list[RolloutReport], Counter[str], int, RouteTable]:
        async with hierarchy({}) as (client, servers):
            for name, server in servers.items():
                server._executor._models._load = partial(memory.load, name)

            nodes = {name: ServerControl(server) for name, server in servers.items()}

            async def apply(plan: Plan) -> RolloutReport:
                started_s = time.monotonic()
                now = await call_each({name: node.snapshot() for name, node in nodes.items()})
                stages = plan_rollout(
                    plan,
                    next_version(now),
                    {"client": client.table},
                    {name: frozenset(snapshot.models) for name, snapshot in now.items()},
                    MemoryBudgets(BYTES, budget),
                    PATHS,
                    {model: TASKS for snapshot in now.values() for model in snapshot.tasks},
                )
                return await execute_rollout(stages, nodes, no_step, started_s=started_s)

            outcomes: Counter[str] = Counter()

            async def ask(task: str) -> None:
                try:
                    await client.answer(task, image(1))
                    outcomes["answered"] += 1
                except RefusedError as refusal:
                    outcomes[refusal.reason] += 1

            asked: list[asyncio.Future[None]] = []

            async def traffic() -> None:
                while True:
                    asked.append(asyncio.ensure_future(ask(TASKS[len(asked) % 2])))
                    await asyncio.sleep(0.004)

            await apply(plans[0])
            driving = asyncio.ensure_future(traffic())
            changes = []
            for plan in plans[1:]:
                await asyncio.sleep(0.1)
                changes.append(await apply(plan))
            await asyncio.sleep(0.05)
            driving.cancel()
            await asyncio.gather(*asked)
            return changes, outcomes, len(asked), client.table

    changes, outcomes, sent, table = asyncio.run(scenario())
    assert sum(outcomes.values()) == sent
    assert table.routes == route_tables(plans[-1], 1, ("client",))["client"].routes
    return changes, outcomes, memory.most


CLOUD: dict[str, tuple[str, ...]] = {"cloud": ("m3",)}
SMALL = plan_of({"client": ("m0",), "edge": ("m1",), **CLOUD},
                ("depth", "client", "m0", 1.0), ("edges", "edge", "m1", 1.0))  # fmt: skip
SWAPPED = plan_of({"client": ("m1",), "edge": ("m2",), **CLOUD},
                  ("depth", "client", "m1", 0.5), ("depth", "cloud", "m3", 0.5),
                  ("edges", "edge", "m2", 1.0))  # fmt: skip
REROUTED = plan_of({"client": ("m1",), "edge": ("m2",), **CLOUD},
                   ("depth", "cloud", "m3", 1.0), ("edges", "client", "m1", 1.0))  # fmt: skip


def test_routes_alone_change_at_once() -> None:
    (_, change), outcomes, _ = change_under_traffic(
        [SMALL, SWAPPED, REROUTED], {"client": 9, "edge": 9, "cloud": 9}
    )
    assert set(outcomes) == {"answered"}
    assert change.reaction_s < 0.25
    assert change.routed_s == pytest.approx(change.reaction_s, abs=0.05)  # nothing is loaded
    assert change.routed_s + change.drain_s <= change.total_s  # draining comes after
    assert (change.loads_s, change.unloads_s, change.stages) == ({}, {}, 1)


def test_what_fits_is_made_before_anything_is_broken() -> None:
    (change,), outcomes, most = change_under_traffic(
        [SMALL, SWAPPED], {"client": 3, "edge": 5, "cloud": 4}
    )
    assert set(outcomes) == {"answered"}
    assert change.stages == 1
    assert most == {"client": 3, "edge": 5, "cloud": 4}
    assert change.loads_s.keys() == change.unloads_s.keys() == {"client", "edge"}
    assert change.loads_s["client"]["m1"] >= LOAD_S


def test_crowded_nodes_change_without_a_query_lost() -> None:
    """Neither the client nor the edge can hold its old model beside its new one."""
    (change,), outcomes, most = change_under_traffic(
        [SMALL, SWAPPED], {"client": 2, "edge": 3, "cloud": 4}
    )
    assert set(outcomes) == {"answered"}
    assert change.stages == 2
    assert all(most[node] <= budget for node, budget in {"client": 2, "edge": 3}.items())


def test_a_crowded_node_with_several_models_keeps_most_of_them_meanwhile() -> None:
    old = plan_of({"client": ("m0", "m1"), "edge": ("m0", "m1"), **CLOUD},
                  ("depth", "client", "m0", 1.0), ("edges", "client", "m1", 0.5),
                  ("edges", "edge", "m1", 0.5))  # fmt: skip
    new = plan_of({"client": ("m2",), "edge": ("m2", "m0"), **CLOUD},
                  ("depth", "client", "m2", 0.5), ("edges", "client", "m2", 0.5),
                  ("edges", "edge", "m2", 0.5), ("depth", "edge", "m0", 0.5))  # fmt: skip
    (change,), outcomes, most = change_under_traffic(
        [old, new], {"client": 3, "edge": 4, "cloud": 4}
    )
    assert set(outcomes) == {"answered"}
    assert change.stages == 2
    assert (most["client"], most["edge"]) == (3, 4)


class Recorded:
    """A node that only notes what it is told, in order, with the others."""

    def __init__(self, name: str, told: list[tuple[str, str]]) -> None:
        self._name, self._told = name, told

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        self._told.append((self._name, "load"))
        return dict.fromkeys(models, 0.0)

    async def route(self, table: RouteTable) -> None:
        self._told.append((self._name, "route"))

    async def table(self) -> RouteTable:
        raise AssertionError("the stages say what is to be done")

    async def drained(self, version: int) -> None:
        self._told.append((self._name, f"drained {version} begins"))
        await asyncio.sleep(0.01)
        self._told.append((self._name, "drained"))

    async def retire(self, version: int, keep: frozenset[str]) -> dict[str, float]:
        self._told.append((self._name, "retire"))
        return {}

    async def snapshot(self) -> NodeSnapshot:
        raise AssertionError("the stages say what is to be done")

    async def change_link(self, target: str, condition: LinkCondition) -> None:
        raise AssertionError("a rollout leaves links alone")

    async def probe_link(self, target: str, limits: ProbeLimits) -> LinkProbe:
        raise AssertionError("a rollout leaves links alone")

    async def begin_link_traces(self) -> None:
        raise AssertionError("a rollout leaves links alone")

    async def switch_device(self, lost: bool) -> None:
        raise AssertionError("a rollout leaves devices alone")

    async def set_clock(self, ahead_s: float) -> None:
        raise AssertionError("a rollout leaves clocks alone")

    async def log_lines(self, read: Read) -> ReadPage:
        raise AssertionError("the stages say what is to be done")


def test_nothing_is_unloaded_before_the_last_query_of_older_routes_is_answered() -> None:
    told: list[tuple[str, str]] = []
    nodes = {name: Recorded(name, told) for name in ("client", "edge")}
    table = RouteTable(7, {})
    stage = Stage(
        {"edge": ("m1",)}, {"client": table}, {"edge": frozenset(), "client": frozenset()}
    )

    async def before_step(step: Step, stage: Stage, version: int) -> None:
        if step is Step.UNLOAD:
            told.append(("assignments", f"version {version}"))

    asyncio.run(execute_rollout([stage], nodes, before_step, started_s=0.0))
    assert told[:5] == [
        ("edge", "load"),
        ("client", "route"),
        ("client", "drained 7 begins"),
        ("client", "drained"),
        ("assignments", "version 7"),
    ]
    assert set(told[5:]) == {("edge", "retire"), ("client", "retire")}


def test_calls_of_other_nodes_have_ended_when_the_error_of_one_is_raised() -> None:
    """Else what undoes a change would meet calls that are still under way."""
    ended: list[str] = []

    async def fails() -> None:
        raise ConnectionError("gone")

    async def takes_long() -> None:
        await asyncio.sleep(0.05)
        ended.append("edge")

    async def scenario() -> None:
        with pytest.raises(ConnectionError, match="gone"):
            await call_each({"client": fails(), "edge": takes_long()})
        assert ended == ["edge"]

    asyncio.run(scenario())


def test_versions_rise_above_that_of_every_node() -> None:
    def at(version: int) -> NodeSnapshot:
        return NodeSnapshot("n", 0.0, 0.0, 0, 0, (), version, {}, {}, {}, {})

    assert next_version({"a": at(3), "b": at(5), "c": at(4)}) == 6
    assert next_version({"a": at(0)}) == 1
