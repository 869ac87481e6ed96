"""The router follows shares in whole queries."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.node.errors import NotServedError, RefusedError
from serving.node.router import Router, RouteTable, Target

LOCAL = Target("client", "c", "small")
EDGE = Target("edge", "e", "middle")
CLOUD = Target("cloud", "o", "large")


def follow(router: Router, task: str, count: int) -> Counter:
    taken: Counter = Counter()
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
def test_counts_stay_near_the_shares_at_every_moment(weights, shed, count) -> None:
    shares = [weight / sum(weights) * (1 - shed) for weight in weights]
    targets = [Target("edge", "e", f"m{index}") for index in range(len(shares))]
    router = Router(RouteTable(1, {"t": tuple(zip(targets, shares, strict=True))}))
    taken: Counter = Counter()
    for number in range(1, count + 1):
        taken += follow(router, "t", 1)
        for target, share in zip(targets, shares, strict=True):
            assert abs(taken[target] - number * share) <= len(shares) + 1
