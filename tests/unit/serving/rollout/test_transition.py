"""A change of plan is written down, done, and undone if it fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from serving.deploy.assignment_store import AssignmentStore
from serving.errors import PlanChangeConflictError, PlanChangeError
from serving.node.control import ServerControl
from serving.rollout.assignment import Assignment
from serving.rollout.execute import OnStep, Step
from serving.rollout.mend import mend
from serving.rollout.stages import Stage, route_tables
from support.changing_cluster import CROWDED, NEW, OLD, ROOMY, cluster, plan_of, traffic


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


def test_a_change_without_an_edge_that_is_away_and_the_next_one_with_it(
    tmp_path: Path, budget: dict[str, int]
) -> None:
    """The edge comes back with what it was told before, and no way leads there until then."""
    alone = plan_of({"client": ("m1",), "edge": (), "cloud": ("m3",)},
                    ("depth", "client", "m1", 1.0), ("edges", "cloud", "m3", 1.0))  # fmt: skip

    async def scenario() -> None:
        async with cluster(tmp_path, budget) as found:
            told = found.store.assignment("edge")
            found.servers.kill("edge")
            await found.apply(alone, without={"edge"})
            assert found.servers["client"].snapshot().models == ("m1",)
            ways = found.servers["client"].table.routes
            nodes = {target.node for targets in ways.values() for target, _ in targets}
            assert nodes == {"client", "cloud"}
            assert found.store.assignment("edge") == told
            await found.restart_killed("edge")
            assert found.servers["edge"].snapshot().models == ("m1",)
            await found.apply(NEW)
            found.check(NEW)

    asyncio.run(scenario())


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
            found.check(OLD, known=False)

    asyncio.run(scenario())


def test_an_older_plans_call_to_unload_is_ignored(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:
            await found.apply(NEW)
            assert await found.nodes["edge"].retire(1, frozenset()) == {}
            found.check(NEW)

    asyncio.run(scenario())
