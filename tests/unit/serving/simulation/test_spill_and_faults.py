"""Spill-over, faults and changes of the plan in simulated time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import pytest

from cluster.topology import Topology
from planner.plan import Plan, Route, TierName
from serving.node.links import pacer
from serving.node.links.link_condition import LinkCondition
from serving.node.snapshot import NodeSnapshot
from serving.routing.routes import RoutingMode
from serving.simulation.simulated_system import SimulatedSystem
from serving.simulation.virtual_time import run_in_virtual_time
from serving.system import Answer, Outcome, Query

QUERY_BYTES = 1_000.0
LATENCY_S = {"small": 0.002, "large": 0.004}
ACCURACY = {"small": {"depth": 0.6}, "large": {"depth": 0.9}}


def topology() -> Topology:
    def node(name: str, tier: str) -> dict[str, object]:
        return {
            "name": name, "tier": tier, "memory": "1GiB", "compute": 1, "window_s": 0.5,
            "batching": "greedy",
        }  # fmt: skip

    link = {"source": "c", "target": "e", "bandwidth": 20_000, "rtt_s": 0.02}
    return Topology.parse(
        {
            "name": "t",
            "nodes": [node("c", "client"), node("e", "edge"), node("o", "cloud")],
            "links": [link, {**link, "source": "e", "target": "o"}],
        }
    )


def plan(tier: TierName = "edge", node: str = "e", model: str = "large") -> Plan:
    route = Route(client="c", task="depth", tier=tier, node=node, model=model, share=1.0)
    return Plan(
        problem_digest="d",
        policy="p",
        onloading={"c": ("small",), "e": ("large",), "o": ()},
        routes=(route,),
    )


def system(
    spill_over: bool = True,
    load_s: float = 0.0,
    latency_s: Mapping[str, float] = LATENCY_S,
    routing: RoutingMode = RoutingMode.SHARES,
    planned: Plan | None = None,
) -> SimulatedSystem:
    return SimulatedSystem(
        topology(),
        planned or plan(),
        lambda node, model, batch: latency_s[model] * batch,
        {"depth": QUERY_BYTES},
        spill_over=spill_over,
        routing=routing,
        accuracy=ACCURACY,
        load_s={node: dict.fromkeys(ACCURACY, load_s) for node in ("c", "e", "o")},
    )


Answered = tuple[float, float, Answer]
"""(due, latency, answer)"""


async def send_at(simulated: SimulatedSystem, times_s: list[float]) -> list[Answered]:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()

    async def one(at_s: float) -> Answered:
        await asyncio.sleep(max(0.0, begun_s + at_s - loop.time()))
        sent_s = loop.time()
        answer = await simulated.send(Query("c", "depth", b""))
        return at_s, loop.time() - sent_s, answer

    return await asyncio.gather(*(one(at_s) for at_s in times_s))


def steady(qps: float, seconds: float) -> list[float]:
    return [n / qps for n in range(int(qps * seconds))]


def nodes_of(answered: list[Answered]) -> Counter[str]:
    return Counter(answer.node or answer.reason for _, _, answer in answered)


def run(
    scenario: Callable[[SimulatedSystem], Awaitable[list[Answered]]], simulated: SimulatedSystem
) -> list[Answered]:
    async def main() -> list[Answered]:
        return await scenario(simulated)

    return run_in_virtual_time(main())


def test_a_burst_that_finds_the_link_full_is_answered_at_home_within_what_was_promised() -> None:
    burst = [0.0] * 60 + steady(10, 5)
    without = run(lambda s: send_at(s, burst), system(spill_over=False))
    with_it = run(lambda s: send_at(s, burst), system())
    assert nodes_of(without)["link_full"] > 40
    assert nodes_of(with_it)["e"] == nodes_of(without)["e"]
    assert nodes_of(with_it)["c"] == nodes_of(without)["link_full"]
    assert all(latency_s <= answer.bound_s for _, latency_s, answer in with_it)


def test_answers_that_come_late_make_the_next_ones_spill_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The edge answers within a second, and the link keeps up to half a second of backlog before
    that; 1.07 s are promised. The link takes a little more than the edge, and both are full."""

    def late() -> list[bool]:
        slow = system(latency_s={"small": 0.002, "large": 0.06})
        answered = run(lambda s: send_at(s, steady(30, 30)), slow)
        assert nodes_of(answered)["e"] > 450  # of 500 that it can answer at all
        assert nodes_of(answered).total() == nodes_of(answered)["e"] + nodes_of(answered)["c"]
        return [latency_s > answer.bound_s for _, latency_s, answer in answered]

    corrected = late()
    monkeypatch.setattr(pacer, "LEAST_BACKLOG", 1.0)
    kept = late()
    assert sum(corrected[300:]) < 0.015 * len(corrected[300:])
    assert sum(kept[300:]) > 3 * sum(corrected[300:])


def test_spill_over_changes_nothing_while_there_is_room() -> None:
    calm = steady(10, 10)
    with_it, without = (run(lambda s: send_at(s, calm), system(spills)) for spills in (True, False))
    assert with_it == without


def test_queues_that_are_followed_use_an_idle_link_and_spare_a_full_one() -> None:
    """All is to stay at home by the plan. The link carries 20 queries/s, each of which gains .3."""
    at_home = plan("client", "c", "small")
    calm, twice = steady(10, 10), steady(40, 10)
    by_shares = run(lambda s: send_at(s, calm), system(planned=at_home))
    assert nodes_of(by_shares) == {"c": 100}
    follows = []
    for sent in (calm, twice):
        simulated = system(planned=at_home, routing=RoutingMode.PENALTY)
        follows.append(run(partial(send_at, times_s=sent), simulated))
    assert nodes_of(follows[0]) == {"e": 100}
    assert nodes_of(follows[1])["e"] == pytest.approx(205, abs=6)
    assert nodes_of(follows[1]).total() == nodes_of(follows[1])["e"] + nodes_of(follows[1])["c"]
    for answered in follows:
        assert all(latency_s <= answer.bound_s for _, latency_s, answer in answered)
        assert all(answer.reason == "" for _, _, answer in answered)  # none had to spill


def test_routing_by_queues_outlives_a_change_of_plan() -> None:
    async def scenario(simulated: SimulatedSystem) -> list[Answered]:
        await simulated.follow(plan("client", "c", "small"), {})
        return await send_at(simulated, steady(10, 2))

    answered = run(scenario, system(routing=RoutingMode.PENALTY))
    assert nodes_of(answered) == {"e": 20}


def test_no_refuge_makes_a_query_later_than_it_was_promised() -> None:
    """The edge says no after its link took up to half of what was promised. The client's own device
    has room for three, of which each would keep its bound had it come there first."""
    slow = system(latency_s={"small": 0.28, "large": 0.3})
    answered = run(lambda simulated: send_at(simulated, [0.0] * 30), slow)
    assert nodes_of(answered)["e"] >= 2
    assert nodes_of(answered)["c"] >= 2
    for _, latency_s, answer in answered:
        if answer.outcome is Outcome.ANSWERED:
            assert latency_s <= answer.bound_s


def test_queries_go_elsewhere_while_a_node_is_down_and_back_once_it_is_up() -> None:
    async def scenario(simulated: SimulatedSystem) -> list[Answered]:
        loop = asyncio.get_running_loop()
        loop.call_later(2.0, simulated.kill, "e")
        sending = asyncio.ensure_future(send_at(simulated, steady(10, 6)))
        await asyncio.sleep(4.0)
        await simulated.restart("e")
        return await sending

    answered = run(scenario, system(load_s=0.5))
    where = [(due_s, answer.node) for due_s, _, answer in answered]
    assert {node for due_s, node in where if due_s < 1.9} == {"e"}
    assert {node for due_s, node in where if 2.0 <= due_s < 4.4} == {"c"}
    assert {node for due_s, node in where if due_s > 4.6} == {"e"}
    assert len(where) == 60


def test_a_link_that_is_cut_or_slow_is_gone_round() -> None:
    async def scenario(simulated: SimulatedSystem) -> list[Answered]:
        client = simulated.node("c")
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, client.change_link, "e", LinkCondition(share=0.0))
        loop.call_later(2.0, client.change_link, "e", LinkCondition(share=0.25))
        loop.call_later(4.0, client.change_link, "e", LinkCondition())
        return await send_at(simulated, steady(10, 6))

    answered = run(scenario, system())
    of_second = [Counter[str]() for _ in range(6)]
    for due_s, _, answer in answered:
        of_second[int(due_s)][answer.node] += 1
    assert of_second[0] == {"e": 10}
    assert of_second[1] == {"c": 10}
    assert of_second[3]["c"] >= 3  # a quarter of the bandwidth takes half of them
    assert of_second[5] == {"e": 10}


def test_queries_of_a_client_that_is_down_are_errors() -> None:
    async def scenario(simulated: SimulatedSystem) -> list[Answered]:
        simulated.kill("c")
        return await send_at(simulated, [0.0])

    ((_, _, answer),) = run(scenario, system())
    assert answer.outcome is Outcome.ERROR


def test_a_plan_is_followed_from_one_query_to_the_next_and_none_is_lost() -> None:
    new = plan("client", "c", "small")

    async def scenario() -> tuple[list[Answered], dict[str, NodeSnapshot]]:
        simulated = system(load_s=1.0)
        sending = asyncio.ensure_future(send_at(simulated, steady(10, 6)))
        await asyncio.sleep(2.0)
        held = new.model_copy(update={"onloading": {"c": ("small", "large"), "e": (), "o": ()}})
        report = await simulated.follow(held, {(n, m): 1 for n in "ceo" for m in LATENCY_S})
        assert report.version == 2
        assert report.loads_s == {"c": {"large": pytest.approx(1.0)}}
        return await sending, simulated.snapshots()

    answered, seen = run_in_virtual_time(scenario())
    assert {answer.node for due_s, _, answer in answered if due_s < 2.9} == {"e"}
    assert {answer.node for due_s, _, answer in answered if due_s > 3.1} == {"c"}
    assert {answer.outcome for _, _, answer in answered} == {Outcome.ANSWERED}
    assert seen["e"].models == ()
    assert set(seen["c"].models) == {"small", "large"}
    assert seen["c"].arrived == {"depth": 60}
