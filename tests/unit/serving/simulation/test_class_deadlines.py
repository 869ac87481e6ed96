"""Deadline classes (F20) in simulated time: planned, served in time, and followed by the loop."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cluster.demand import Demand, Phase
from planner.plan import Plan
from planner.policies import solve
from serving.replan.options import ReplanOptions
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.live_run import simulate_live
from serving.simulation.simulate import simulate
from serving.traffic.measurement import Measurements
from serving.traffic.summary import say_measured, summarise_run
from support.demo_setting import demo_demand, demo_setting

FAST_S, FAIR_S = 0.1, 0.5
CLASSES = {
    "fast": {"share": 0.4, "deadline_s": FAST_S}, "fair": {"share": 0.2, "deadline_s": FAIR_S},
}  # fmt: skip
"""of depth. A query takes 0.1 s up a client's link alone, the edge two windows of 0.4 s: so the
fast class stays at home, and the fair one may go to the cloud, past the edge."""


@cache
def planned() -> tuple[Setting, Phase, Plan]:
    stated = demo_demand().model_dump(mode="json", exclude_none=True)
    demand = Demand.parse({**stated, "classes": {"depth": CLASSES}})
    phase = demand.phases[0].model_copy(update={"duration_s": 12.0})
    setting = demo_setting().with_deadlines(demand.deadlines_s)
    return setting, phase, solve(setting.problem(phase), "certified").plan


@cache
def run(routing: RoutingMode) -> Measurements:
    setting, phase, plan = planned()
    return simulate(setting, plan, [phase], seed=4, routing=routing)


def test_a_plan_sends_each_class_where_its_deadline_is_kept() -> None:
    _, _, plan = planned()
    assert plan.deadlines_s == {"depth@fast": FAST_S, "depth@fair": FAIR_S}
    tiers: dict[str, set[str]] = {}
    for route in plan.routes:
        tiers.setdefault(route.task, set()).add(route.tier)
    assert tiers["depth@fast"] == {"client"}
    assert "edge" not in tiers["depth@fair"]
    assert "edge" in tiers["segmentation"]


@pytest.mark.parametrize("routing", [RoutingMode.SHARES, RoutingMode.PENALTY])
def test_what_a_class_is_answered_comes_in_time_and_by_ways_that_keep_it(
    routing: RoutingMode,
) -> None:
    rows = run(routing)
    for name, deadline_s, tiers in (
        ("depth@fast", FAST_S, {"client"}), ("depth@fair", FAIR_S, {"client", "cloud"}),
    ):  # fmt: skip
        own = rows.select((rows.task == name) & rows.answered)
        assert len(own) > 30
        assert set(own.tier) <= tiers
        assert np.mean(own.latency_s <= deadline_s) >= 0.99
    assert "edge" in rows.tier[rows.task == "segmentation"]  # which is in no hurry


def test_the_summary_has_a_line_for_every_class() -> None:
    rows = run(RoutingMode.SHARES)
    measured = summarise_run(rows)
    assert set(measured.by_deadline) == {"depth", "depth@fair", "depth@fast"}
    fast = measured.by_deadline["depth@fast"]
    assert fast.queries == int(np.sum(rows.task == "depth@fast"))
    assert fast.kept_share == pytest.approx(fast.answered_share, abs=0.01)
    assert measured.by_deadline["depth"].kept_share is None
    assert "; answered within their deadline: depth@fair " in say_measured(measured)


def test_classes_have_the_shares_of_their_task() -> None:
    rows = run(RoutingMode.SHARES)
    asked = {name: int(np.sum(rows.task == name)) for name in np.unique(rows.task)}
    depth = asked["depth"] + asked["depth@fast"] + asked["depth@fair"]
    assert asked["depth@fast"] / depth == pytest.approx(0.4, abs=0.08)
    assert asked["depth@fair"] / depth == pytest.approx(0.2, abs=0.08)


def test_the_loop_sees_the_load_of_each_class_and_plans_for_its_deadline() -> None:
    """The fast class grows to nearly all of depth."""
    setting, phase, plan = planned()
    grown = {
        client: {**rates, "depth": 0.1, "depth@fast": 3 * rates["depth@fast"]}
        for client, rates in phase.rates_qps.items()
    }
    phases = [phase, phase.model_copy(update={"rates_qps": grown})]
    live = simulate_live(setting, plan, phases, ReplanOptions(), seed=2, planning_s=0.3)
    estimate = live.looks[-1].estimate
    assert estimate is not None
    for client, rates in grown.items():
        seen = estimate.rates_qps[client]["depth@fast"]
        assert seen == pytest.approx(rates["depth@fast"], rel=0.5, abs=1.0)
    assert live.changes
    for change in live.changes:
        assert change.plan.deadlines_s == plan.deadlines_s
        fast = [route for route in change.plan.routes if route.task == "depth@fast"]
        assert {route.tier for route in fast} <= {"client"}
    rows = live.measurements
    own = rows.select((rows.task == "depth@fast") & rows.answered)
    assert set(own.tier) == {"client"}
    assert np.mean(own.latency_s <= FAST_S) >= 0.99
