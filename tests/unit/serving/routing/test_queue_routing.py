"""Ways chosen by what is queued now: drift plus penalty, and the shorter promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from serving.errors import NotServedError, RefusedError
from serving.routing.queue_routing import PRICE, QueueState
from serving.routing.router import Router
from serving.routing.routes import RouteTable, RoutingMode, Target

HOME = Target("client", "c", "small")
EDGE = Target("edge", "e", "large")
CLOUD = Target("cloud", "o", "huge")
ACCURACY = {"small": {"depth": 0.6, "edges": 0.8}, "large": {"depth": 0.9, "edges": 0.9}}
TABLE = RouteTable(
    1,
    {"depth": ((HOME, 1.0),), "edges": ((HOME, 0.5),)},
    {"depth": (EDGE, HOME), "edges": (EDGE, HOME), "normals": (EDGE,)},
    RoutingMode.PENALTY,
    {**ACCURACY, "huge": {"depth": 0.99}},
)


class Backlogs:
    """`Queues`: the link's backlog as a share of its limit; None is full."""

    def __init__(self, link: float | None = 0.0, home: bool = True) -> None:
        self.link = link
        self.home = home

    def __call__(self, way: Target, task: str) -> QueueState | None:
        if way == HOME:
            return QueueState(0.0, 0.8, seen=True) if self.home else None
        if self.link is None:
            return None
        return QueueState(self.link, 0.85 + 0.4 * self.link, seen=way == EDGE)


def ways(table: RouteTable, queues: Backlogs, task: str, count: int = 10) -> Mapping[Target, int]:
    router = Router(table, queues=queues)
    return Counter(router.pick(task) for _ in range(count))


def test_an_idle_link_takes_what_is_answered_better_above() -> None:
    assert ways(TABLE, Backlogs(), "depth") == {EDGE: 10}


def test_shares_are_followed_where_the_table_does_not_ask_for_queues() -> None:
    assert ways(replace(TABLE, routing=RoutingMode.SHARES), Backlogs(), "depth") == {HOME: 10}


def test_a_filling_link_is_left_to_those_who_gain_most() -> None:
    gain_of_edges, gain_of_depth = 0.1, 0.3
    half_way = (gain_of_edges + gain_of_depth) / 2 / PRICE
    assert ways(TABLE, Backlogs(half_way), "edges") == {HOME: 10}
    assert ways(TABLE, Backlogs(half_way), "depth") == {EDGE: 10}
    assert ways(TABLE, Backlogs(1.1 * gain_of_depth / PRICE), "depth") == {HOME: 10}


def test_what_the_plan_sheds_or_has_no_way_for_is_answered_where_there_is_room() -> None:
    assert ways(TABLE, Backlogs(None), "edges") == {HOME: 10}
    large = {"large": {"normals": 0.9}}
    table = replace(TABLE, accuracy={**ACCURACY, **large})
    assert ways(table, Backlogs(), "normals") == {EDGE: 10}


def test_where_all_is_full_the_shares_say_who_is_refused() -> None:
    full = Router(TABLE, queues=Backlogs(None, home=False))
    assert full.pick("depth") == HOME  # whose refusal then tells why
    with pytest.raises(RefusedError):
        [full.pick("edges") for _ in range(2)]
    with pytest.raises(NotServedError):
        full.pick("normals")


def test_beyond_the_next_node_only_the_plans_own_queries_go() -> None:
    refuges = {"depth": (CLOUD, EDGE, HOME)}
    table = replace(TABLE, refuges=refuges)
    assert ways(table, Backlogs(), "depth") == {EDGE: 10}
    planned = replace(table, routes={"depth": ((CLOUD, 0.4), (HOME, 0.6))})
    assert ways(planned, Backlogs(), "depth") == {CLOUD: 4, EDGE: 6}


def test_of_equal_ways_the_plans_own_is_taken() -> None:
    other = Target("edge", "e2", "large")
    table = replace(TABLE, refuges={"depth": (EDGE, other)}, routes={"depth": ((other, 1.0),)})

    def queues(way: Target, task: str) -> QueueState:
        return QueueState(0.0, 1.0, seen=True)

    assert Counter(Router(table, queues=queues).pick("depth") for _ in range(3)) == {other: 3}


def test_the_shorter_promise_is_taken_among_the_plans_ways() -> None:
    table = replace(
        TABLE, routing=RoutingMode.SHORTER, routes={"depth": ((EDGE, 0.5), (HOME, 0.3))}
    )
    router = Router(table, queues=Backlogs(0.5))
    taken: Counter[Target | str] = Counter()
    for _ in range(10):
        try:
            taken[router.pick("depth")] += 1
        except RefusedError:
            taken["shed"] += 1
    assert taken == {HOME: 8, "shed": 2}
    closed = Router(table, queues=Backlogs(0.5, home=False))
    assert closed.pick("depth") == EDGE


def test_requests_for_several_tasks_keep_to_the_shares() -> None:
    table = replace(TABLE, routes={"depth": ((HOME, 1.0),), "edges": ((HOME, 1.0),)})
    (ask,) = Router(table, queues=Backlogs()).pick_all(("depth", "edges"))
    assert ask.target == HOME
