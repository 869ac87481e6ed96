"""The router follows shares in whole queries."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import NotServedError, RefusedError
from serving.routing.router import Router
from serving.routing.routes import Ask, RouteTable, Target

LOCAL = Target("client", "c", "small")
EDGE = Target("edge", "e", "middle")
CLOUD = Target("cloud", "o", "large")


def follow(router: Router, task: str, count: int) -> Counter[Target | str]:
    taken: Counter[Target | str] = Counter()
    for _ in range(count):
        try:
            taken[router.pick(task)] += 1
        except RefusedError as refusal:
            taken[refusal.reason] += 1
    return taken


def test_halves_alternate() -> None:
    router = Router(RouteTable(1, {"depth": ((LOCAL, 0.5), (EDGE, 0.5))}))
    picks = [router.pick("depth") for _ in range(6)]
    assert Counter(picks) == {LOCAL: 3, EDGE: 3}
    assert all(a != b for a, b in itertools.pairwise(picks))


def test_the_order_in_which_tasks_are_named_means_nothing() -> None:
    ways = ((LOCAL, 0.5), (EDGE, 0.5))
    router = Router(RouteTable(1, {"depth": ways, "edges": ways}))
    (first,), (second,) = (
        router.pick_all(tasks) for tasks in (("depth", "edges"), ("edges", "depth"))
    )
    assert {first.target, second.target} == {LOCAL, EDGE}


def test_the_ways_of_a_task_are_its_refuges_then_its_routes_by_share() -> None:
    other = Target("edge", "f", "middle")
    ways = ((CLOUD, 0.1), (LOCAL, 0.2), (other, 0.3), (EDGE, 0.4))
    assert RouteTable(1, {"depth": ways}).ways("depth") == (EDGE, other, LOCAL, CLOUD)
    table = RouteTable(1, {"depth": ways}, {"depth": (CLOUD, LOCAL)})
    assert table.ways("depth") == (CLOUD, LOCAL, EDGE, other)
    assert table.ways("edges") == ()


def test_the_share_that_is_left_is_shed() -> None:
    router = Router(RouteTable(1, {"depth": ((EDGE, 0.75),)}))
    assert follow(router, "depth", 400) == {EDGE: 300, "shed": 100}


def test_a_task_without_model_says_what_is_served() -> None:
    router = Router(RouteTable(1, {"depth": ((EDGE, 1.0),), "edges": ()}))
    with pytest.raises(NotServedError, match=r"no onloaded model serves task 'edges'.*depth"):
        router.pick("edges")


def test_a_new_table_is_followed_at_once() -> None:
    router = Router(RouteTable(1, {"depth": ((LOCAL, 1.0),)}))
    assert router.pick("depth") == LOCAL
    router.replace(RouteTable(2, {"depth": ((CLOUD, 1.0),)}))
    assert router.pick("depth") == CLOUD


@settings(max_examples=100, deadline=None)
@given(
    weights=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4),
    shed=st.floats(0, 0.9),
    count=st.integers(1, 300),
)
def test_counts_stay_near_the_shares_at_every_moment(
    weights: list[float], shed: float, count: int
) -> None:
    shares = [weight / sum(weights) * (1 - shed) for weight in weights]
    targets = [Target("edge", "e", f"m{index}") for index in range(len(shares))]
    router = Router(RouteTable(1, {"t": tuple(zip(targets, shares, strict=True))}))
    taken: Counter[Target | str] = Counter()
    for number in range(1, count + 1):
        taken += follow(router, "t", 1)
        for target, share in zip(targets, shares, strict=True):
            assert abs(taken[target] - number * share) <= len(shares) + 1


TOGETHER = {
    "depth": ((LOCAL, 0.5), (EDGE, 0.3)),
    "edges": ((EDGE, 0.25), (LOCAL, 0.75)),
    "normals": ((CLOUD, 1.0),),
}


def test_tasks_of_one_image_share_their_ways() -> None:
    router = Router(RouteTable(1, TOGETHER))
    ways: Counter[tuple[Ask, ...] | str] = Counter()
    for _ in range(100):
        try:
            ways[router.pick_all(("depth", "edges"))] += 1
        except RefusedError as refusal:
            ways[refusal.reason] += 1
    assert ways == {
        (Ask(LOCAL, ("depth", "edges")),): 50,
        (Ask(EDGE, ("depth", "edges")),): 25,
        (Ask(EDGE, ("depth",)), Ask(LOCAL, ("edges",))): 5,
        "shed": 20,
    }


def test_without_shared_passes_every_task_goes_alone() -> None:
    router = Router(RouteTable(1, TOGETHER), shared_passes=False)
    assert [len(ask.tasks) for ask in router.pick_all(("normals", "normals"))] == [1, 1]


def test_a_request_with_a_task_that_is_not_served_is_not_served() -> None:
    router = Router(RouteTable(1, TOGETHER))
    with pytest.raises(NotServedError, match="weather"):
        router.pick_all(("depth", "weather"))


@settings(max_examples=100, deadline=None)
@given(
    weights=st.lists(
        st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4), min_size=2, max_size=3
    ),
    served=st.lists(st.floats(0.1, 1.0) | st.just(1.0), min_size=3, max_size=3),
    count=st.integers(1, 200),
)
def test_what_is_asked_together_still_follows_every_tasks_shares(
    weights: list[list[float]], served: list[float], count: int
) -> None:
    targets = [Target("edge", f"n{index % 2}", f"m{index}") for index in range(4)]
    shares = {
        f"t{number}": tuple(
            (target, part * weight / sum(row)) for target, weight in zip(targets, row, strict=True)
        )
        for number, (row, part) in enumerate(zip(weights, served, strict=False))
    }
    router = Router(RouteTable(1, shares))
    tasks = tuple(shares)
    taken: Counter[tuple[str, Target] | str] = Counter()
    for _ in range(count):
        try:
            way = router.pick_all(tasks)
        except RefusedError:
            taken["shed"] += 1
            continue
        assert sorted(task for ask in way for task in ask.tasks) == list(tasks)
        for ask in way:
            taken.update((task, ask.target) for task in ask.tasks)
        assert len({ask.target for ask in way}) == len(way)
    most_shed = 1 - min(sum(share for _, share in row) for row in shares.values())
    assert abs(taken["shed"] - count * most_shed) <= 4 * len(tasks) + 4
    if most_shed < 1e-9:
        for task, row in shares.items():
            for target, share in row:
                assert abs(taken[task, target] - count * share) <= 4 * len(tasks) + 4


@pytest.mark.parametrize("via", ["", "e"])
def test_tasks_that_meet_at_no_model_share_their_link(via: str) -> None:
    """Six of ten images go up for `depth`, five for `edges`, which go with them. A way to the cloud
    need not say by which edge, where there is one only."""
    other, above = Target("client", "c", "other"), CLOUD._replace(via=via)
    routes = {"depth": ((LOCAL, 0.4), (EDGE, 0.6)), "edges": ((other, 0.5), (above, 0.5))}
    router = Router(RouteTable(1, routes))
    ways = [router.pick_all(("depth", "edges")) for _ in range(100)]
    assert sum(any(ask.target.tier != "client" for ask in way) for way in ways) == 60
