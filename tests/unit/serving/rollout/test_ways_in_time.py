"""Only ways that keep a deadline (F13, F20) are refuges, also while a plan comes about."""

from __future__ import annotations

import numpy as np

from cluster.demand import Phase
from planner.policies import solve
from planner.problem import Problem
from serving.rollout.interim_routes import Capabilities, interim_table
from serving.rollout.refuges import refuges_of
from serving.rollout.stages import route_tables
from serving.rollout.ways_in_time import ways_in_time
from serving.routing.routes import RouteTable, Target
from support.demo_setting import demo_demand, demo_setting
from support.planner_cases import one_client, random_problem

HERE, THERE = Target("client", "c", "small"), Target("edge", "e", "large")
CLASS = "depth@fast"


def timed(**changes: object) -> Problem:
    """Home takes 0.05 s with `big`; the edge 1.2 s, the cloud 0.51 s."""
    links = {"rtt_a": [0.1], "edge_rtt_e": [0.2], "client_uplink_c": [1000.0]}
    return one_client(**links, edge_uplink_e=[1000.0], **changes)


def test_a_way_is_in_time_by_its_latency_bound() -> None:
    home, edge, cloud = (
        Target("client", "c0", "big"), Target("edge", "e0", "big"), Target("cloud", "sky", "big"),
    )  # fmt: skip
    for deadline_s, kept in (
        (0.04, []), (0.06, [home]), (0.52, [home, cloud]), (1.21, [home, edge, cloud]),
    ):  # fmt: skip
        keeps = ways_in_time(timed(deadline_t=[deadline_s, np.inf]))
        assert keeps is not None
        assert [way for way in (home, edge, cloud) if keeps("c0", way, "a")] == kept
        assert all(keeps("c0", way, "b") for way in (home, edge, cloud))
        assert keeps("stranger", edge, "a")
        assert keeps("c0", edge, "strange")
    assert ways_in_time(timed()) is None


def test_in_the_cloud_the_edge_that_is_passed_counts() -> None:
    problem = random_problem(5, clients=1, edges=2, reach=2)
    slow = problem.changed(
        rtt_a=np.array([0.0, 9.0]), deadline_t=np.full(3, 5.0), cloud_cost_t=np.full(3, 0.01)
    )
    keeps = ways_in_time(slow)
    assert keeps is not None
    first, second = (slow.edges[e] for e in slow.edge_of_a)
    way = Target("cloud", "cloud", slow.models[0], first)
    assert keeps("client-0", way, "task-0")
    assert not keeps("client-0", way._replace(via=second), "task-0")
    assert keeps("client-0", way._replace(via=""), "task-0")


def test_the_refuges_of_a_class_are_those_of_its_task_that_are_in_time() -> None:
    setting = demo_setting().with_deadlines({CLASS: 0.15})
    rates = {client: {**by, CLASS: 2.0} for client, by in demo_demand().phases[0].rates_qps.items()}
    problem = setting.problem(Phase(duration_s=1.0, rates_qps=rates))
    plan = solve(problem, "certified").plan
    found = refuges_of(setting.topology, plan, setting.accuracy, ways_in_time(problem))
    for client, refuges in found.items():
        assert any(way.tier == "edge" for way in refuges["depth"])
        at_home = tuple(way for way in refuges["depth"] if way.node == client)
        assert refuges.get(CLASS, ()) == at_home
    assert any(found[client].get(CLASS) for client in found)
    tables = route_tables(plan, 1, tuple(found), found)
    assert all(table.deadlines_s == {CLASS: 0.15} for table in tables.values())


def test_a_class_that_lost_its_way_takes_a_refuge_and_nothing_that_is_late() -> None:
    able = Capabilities({CLASS: frozenset({"small", "large"})})
    path = (("client", "c"), ("edge", "e"))
    other = HERE._replace(model="other")
    final = RouteTable(2, {CLASS: ((HERE, 1.0),)}, {CLASS: (HERE, other)}, deadlines_s={CLASS: 0.1})
    before = RouteTable(1, {CLASS: ((HERE._replace(model="old"), 1.0),)})

    def ways(*held: str) -> tuple[tuple[Target, float], ...]:
        ready = {"c": frozenset(held), "e": frozenset({"large"})}
        table = interim_table(before, final, able, ready, path, 2)
        assert table.deadlines_s == {CLASS: 0.1}
        return table.routes[CLASS]

    assert ways() == ()
    assert ways("other") == ((other, 1.0),)
    assert ways("other", "small") == ((HERE, 1.0),)
    untimed = RouteTable(2, final.routes)
    ready = {"c": frozenset[str](), "e": frozenset({"large"})}
    table = interim_table(before, untimed, able, ready, path, 2)
    assert table.routes[CLASS] == ((THERE, 1.0),)
