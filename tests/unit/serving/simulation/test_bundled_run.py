"""F14: a run whose images are asked several tasks takes what its plan predicts."""

from __future__ import annotations

import pytest

from cluster.demand import BundleLoad, Phase
from planner.evaluate import evaluate
from planner.passes import apart
from planner.policies import Options, solve
from planner.solution import Solution
from serving.replan.options import ReplanOptions
from serving.report.regret import regret_of
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun, simulate_live
from serving.simulation.simulate import simulate, simulate_schedule
from serving.traffic.measurement import Measurements
from serving.traffic.replayed import schedule_of
from serving.traffic.summary import summarise_run
from support.same_rows import assert_same_rows

PHASE = Phase(
    duration_s=60.0,
    rates_qps={"client-0": {"edges": 1.0}, "client-1": {}, "client-2": {"normals": 1.0}},
    bundles=(
        BundleLoad(client="client-0", tasks=("segmentation", "depth"), qps=4.0),
        BundleLoad(client="client-1", tasks=("segmentation", "depth", "normals"), qps=3.0),
        BundleLoad(client="client-2", tasks=("depth", "edges"), qps=3.0),
    ),
)


@pytest.fixture(scope="module")
def together(setting: Setting) -> Solution:
    options = Options(gap=0.02, time_limit_s=20.0)
    return solve(setting.problem(PHASE), "exact", options)


@pytest.fixture(scope="module")
def rows(setting: Setting, together: Solution) -> Measurements:
    return simulate(setting, together.plan, [PHASE], seed=2)


def test_devices_and_links_are_used_as_evaluate_counts(
    setting: Setting, together: Solution, rows: Measurements
) -> None:
    predicted = together.evaluation
    measured = summarise_run(rows)
    assert measured.errors == 0
    assert measured.accuracy == pytest.approx(predicted.objective, rel=0.05)
    for node, busy in predicted.utilization_by_node.items():
        assert measured.utilization_by_node[node] == pytest.approx(busy, rel=0.3, abs=0.02)
    links = predicted.usages["F7"]
    for name, use_bytes in zip(links.names, links.use_n, strict=True):
        above = "cloud" if name.startswith("edge") else "edge-0"
        sent_bytes = rows.run.link_bytes.get(f"{name} to {above}", 0) / PHASE.duration_s
        assert sent_bytes == pytest.approx(float(use_bytes), rel=0.2, abs=2000.0)


def test_tasks_counted_one_by_one_would_be_far_from_it(
    setting: Setting, together: Solution, rows: Measurements
) -> None:
    alone = evaluate(apart(together.problem), together.allocation)
    shared = together.evaluation
    assert sum(alone.utilization_by_node.values()) > 1.3 * sum(shared.utilization_by_node.values())
    busy = sum(rows.run.busy_s.values()) / PHASE.duration_s
    assert busy < 0.8 * sum(alone.utilization_by_node.values())


def test_the_run_comes_back_request_by_request(
    setting: Setting, together: Solution, rows: Measurements
) -> None:
    again = simulate_schedule(setting, together.plan, schedule_of(rows), seed=2)
    assert again.run.requests == rows.run.requests
    assert rows.run.requests is not None
    assert rows.run.requests < len(rows)
    assert_same_rows(rows, again)
    assert again.run.busy_s == rows.run.busy_s


def test_such_a_run_has_no_regret(setting: Setting, rows: Measurements) -> None:
    """The clairvoyant of F21 makes a pass for every task."""
    assert regret_of(rows, setting) is None


def runs_of(setting: Setting, routing: RoutingMode) -> tuple[Phase, LiveRun, LiveRun]:
    """A load, and runs of it without a loop and with one. Both start with a plan for the same
    queries, each of an image of its own."""
    busy = PHASE.scaled(2.0).model_copy(update={"duration_s": 25.0})
    present = solve(apart(setting.problem(busy)), "certified").plan
    frozen, live = (
        simulate_live(setting, present, [busy], options, seed=3, routing=routing, planning_s=0.3)
        for options in (None, ReplanOptions())
    )
    return busy, frozen, live


def test_the_live_loop_sees_what_is_asked_together_and_plans_for_it(setting: Setting) -> None:
    busy, frozen, live = runs_of(setting, RoutingMode.SHARES)
    found = {(b.client, b.name): b.qps for b in live.changes[-1].plan.bundles}
    assert found.keys() == {(b.client, b.name) for b in busy.bundles}
    for bundle in busy.bundles:
        assert found[bundle.client, bundle.name] == pytest.approx(bundle.qps, rel=0.4)
    assert live.accuracy > frozen.accuracy + 0.01


def test_where_clients_follow_their_queues_the_loop_does_not_lose_by_it(setting: Setting) -> None:
    _, frozen, live = runs_of(setting, RoutingMode.PENALTY)
    assert live.accuracy >= frozen.accuracy - 0.005
