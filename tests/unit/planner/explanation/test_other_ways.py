"""What every other way of a query would have cost: worked by hand, and against plans made anew."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from cluster.topology import Tier
from explained_flips import flips
from planner.explanation.other_ways import OtherWay, marginal_prices, ways_of
from planner.plan import Plan, PlanError
from planner.policies import Options, solve
from planner.problem import Problem
from support.planner_cases import one_client

FULL = Options(overrun=None, fill=1.0, gap=1e-9)
NARROW: dict[str, Any] = {
    "load_ct": [[4.0, 6.0]], "client_memory_c": [0.0], "client_uplink_c": [500.0],
    "accuracy_mt": [[0.5, 0.0], [0.0, 0.4], [0.8, 0.7]], "cloud_accuracy_t": [0.75, 0.0],
}  # fmt: skip
"""Five queries/s can go up: four of a, at .8 by the edge, and one of six of b, at .7. The cloud
answers a at .75."""


def ways(problem: Problem, task: str, plan: Plan | None = None) -> dict[str, OtherWay]:
    """By `model on node`."""
    plan = plan or solve(problem, "exact", FULL).plan
    found = ways_of(marginal_prices(problem, plan), "c0", task)
    return {f"{way.model} on {way.node}": way for way in found}


def test_a_full_link_costs_what_others_would_have_sent_over_it() -> None:
    problem = one_client(**NARROW)
    edge, cloud = ways(problem, "a")["big on e0"], ways(problem, "a")["big on sky"]
    for way in (edge, cloud):
        (cost,) = way.costs
        assert (cost.label, cost.place) == ("F7", "uplink c0 → e0")
        assert cost.cost == pytest.approx(0.7)  # a query of b that is shed
        assert way.dearest == cost
    assert edge.share == pytest.approx(1.0)
    assert edge.short_by == 0.0
    assert edge.worth == pytest.approx(0.1)
    assert (cloud.share, cloud.closed, cloud.via) == (0.0, "", "e0")
    assert cloud.short_by == pytest.approx(0.05)
    assert ways(problem, "b")["big on e0"].worth == pytest.approx(0.0)


def test_a_way_is_taken_once_it_is_as_good_as_was_asked() -> None:
    for more, goes in ((0.04, False), (0.06, True)):
        better = one_client(**{**NARROW, "cloud_accuracy_t": [0.75 + more, 0.0]})
        plan = solve(better, "exact", FULL).plan
        assert any(route.node == "sky" for route in plan.routes) is goes


def test_ways_that_cannot_be_taken_say_why() -> None:
    told = ways(one_client(**NARROW, edge_memory_e=[105.0]), "b")
    assert told["small-b on c0"].closed.startswith("its model takes 9.54e-06 MiB, the node has 0")
    assert told["small-b on e0"].closed.startswith("its model is not loaded: it takes")
    assert told["small-b on e0"].short_by == inf
    late = one_client(**{**NARROW, "deadline_t": [inf, 0.1]})
    assert ways(late, "b")["big on e0"].closed == "not in time for its deadline"


def test_where_nothing_is_full_the_best_way_is_the_most_accurate() -> None:
    found = ways(one_client(), "a")
    best = next(iter(found.values()))
    assert (best.tier, best.node, best.via) == (Tier.CLOUD, "sky", "e0")
    assert best.costs == ()
    assert best.dearest is None
    assert found["big on c0"].short_by == pytest.approx(0.1)


def test_names_that_nobody_has_are_refused() -> None:
    prices = marginal_prices(one_client(), solve(one_client(), "exact", FULL).plan)
    with pytest.raises(PlanError, match="no client 'c9'; it has c0"):
        ways_of(prices, "c9", "a")
    with pytest.raises(PlanError, match="no task 'z'; it has a, b"):
        ways_of(prices, "c0", "z")


def test_bundles_are_refused_by_name() -> None:
    together = one_client().changed(bundle_bt=[[1.0, 1.0]], bundle_load_cb=[[2.0]])
    plan = replace_digest(solve(one_client(), "exact", FULL).plan, together)
    with pytest.raises(PlanError, match="asked together"):
        marginal_prices(together, plan)


def replace_digest(plan: Plan, problem: Problem) -> Plan:
    return plan.model_copy(update={"problem_digest": problem.digest})


def test_most_predicted_flips_come_about_when_plans_are_made_anew() -> None:
    """`benchmarks/explained_flips.py` has 200 of them, row W5."""
    found = list(flips(4, seed=3))
    assert len(found) == 4
    assert sum(flip.confirmed for flip in found) >= 3
    assert any(flip.drawn for flip in found)
    worse = replace(found[0], stayed=False)
    assert not worse.confirmed
