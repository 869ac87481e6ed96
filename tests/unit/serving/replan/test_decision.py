"""The live loop's parts: the rates it sees and the changes it decides on."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planner.plan import Plan
from planner.policies import Options, solve
from planner.problem import Problem
from serving.node.snapshot import NodeSnapshot
from serving.replan.decision import ReplanOptions, decide
from serving.replan.load_estimate import LoadEstimator
from serving.replan.loop import ReplanLoop
from serving.rollout.execute import RolloutReport
from support.log_records import error_of


def snapshot(node: str, taken_s: float, **arrived: int) -> NodeSnapshot:
    return NodeSnapshot(node, taken_s, 0.0, 0, 0, (), 1, arrived, {}, {}, {})


def test_rates_are_counted_over_the_horizon() -> None:
    rates = LoadEstimator(10.0, ("depth", "edges"))
    assert rates.update({"c": snapshot("c", 0.0, depth=5)}) is None
    phase = rates.update({"c": snapshot("c", 5.0, depth=25)})
    assert phase is not None
    assert phase.rates_qps == {"c": {"depth": pytest.approx(4.1), "edges": pytest.approx(0.1)}}
    phase = rates.update({"c": snapshot("c", 10.0, depth=55, edges=10)})
    assert phase is not None
    assert phase.rates_qps["c"]["depth"] == pytest.approx(5.05)
    assert phase.rates_qps["c"]["edges"] == pytest.approx(1.05)
    phase = rates.update({"c": snapshot("c", 15.0, depth=55, edges=60)})
    assert phase is not None
    assert phase.rates_qps["c"]["depth"] == pytest.approx(3.05)
    assert phase.rates_qps["c"]["edges"] == pytest.approx(6.05)


def test_a_client_that_is_restarted_between_two_looks_has_asked_for_no_less() -> None:
    """Its counters begin anew; the rates were negative, and the loop ended for good."""
    rates = LoadEstimator(20.0, ("depth",))
    rates.update({"c": snapshot("c", 0.0, depth=1_000)})
    rates.update({"c": snapshot("c", 5.0, depth=1_050)})
    phase = rates.update({"c": snapshot("c", 10.0, depth=30)})
    assert phase is not None
    assert phase.rates_qps == {"c": {"depth": pytest.approx((50 + 30 + 0.5) / 10)}}
    phase = rates.update({"c": snapshot("c", 20.0, depth=70)})
    assert phase is not None
    assert phase.rates_qps == {"c": {"depth": pytest.approx((50 + 30 + 40 + 0.5) / 20)}}


def test_an_idle_system_is_left_alone() -> None:
    rates = LoadEstimator(10.0, ("depth",))
    for second in range(0, 60, 5):
        assert rates.update({"c": snapshot("c", float(second), depth=second // 5)}) is None


def problem(depth_qps: float, edges_qps: float) -> Problem:
    """One client that holds one of two models, each good at one task; an edge with neither."""
    one = np.ones
    return Problem(
        clients=("c",), edges=("e",), cloud="o", tasks=("depth", "edges"), models=("d", "x"),
        edge_of_a=np.array([0]),
        load_ct=np.array([[depth_qps, edges_qps]]),
        accuracy_mt=np.array([[0.9, 0.0], [0.0, 0.8]]),
        client_memory_c=one(1), edge_memory_e=0.5 * one(1),
        client_model_bytes_cm=one((1, 2)), edge_model_bytes_em=one((1, 2)),
        client_compute_c=one(1), edge_compute_e=one(1), window_e=one(1),
        client_setup_cm=0.001 * one((1, 2)), client_marginal_cm=0.001 * one((1, 2)),
        edge_setup_em=0.001 * one((1, 2)), edge_marginal_em=0.001 * one((1, 2)),
        cloud_accuracy_t=np.zeros(2), cloud_model_t=np.array([-1, -1]), cloud_cost_t=np.zeros(2),
        query_bytes_t=one(2), answer_bytes_t=one(2),
        client_uplink_c=one(1), edge_uplink_e=one(1), cloud_compute=1.0,
    )  # fmt: skip


def plan_for(stated: Problem) -> Plan:
    return solve(stated, "baj3o", Options()).plan


def test_a_flipped_mix_is_worth_a_new_plan_and_a_steady_one_is_not() -> None:
    before, after = problem(10, 1), problem(1, 10)
    present, proposed = plan_for(before), plan_for(after)
    options = ReplanOptions()
    assert decide(before, present, plan_for(before), options)[2] == ""
    now, then, reason = decide(after, present, proposed, options)
    assert reason == f"gains {then - now:+.3f}"
    assert now == pytest.approx(0.9 * 1 / 11)
    assert then == pytest.approx(0.8 * 10 / 11)


def test_a_small_gain_does_not_move_anything() -> None:
    before, after = problem(10, 1), problem(1, 10)
    options = ReplanOptions(min_gain=0.99)
    assert decide(after, plan_for(before), plan_for(after), options)[2] == ""


def test_a_load_that_breaks_the_plan_is_named() -> None:
    before = problem(100, 1)
    heavy = dataclasses.replace(before, load_ct=before.load_ct * 100)
    reason = decide(heavy, plan_for(before), plan_for(heavy), ReplanOptions())[2]
    assert "F5" in reason


class FakeFleet:
    """One client whose counters move as `counts` say, one entry a look; then it is gone."""

    def __init__(self, *counts: dict[str, int]) -> None:
        self.topology = SimpleNamespace(clients=[SimpleNamespace(name="c")])
        self._counts = list(counts)
        self._looks = 0

    def snapshots(self) -> dict[str, NodeSnapshot]:
        if not self._counts:
            raise TimeoutError("node c gave no answer")
        self._looks += 1
        return {"c": snapshot("c", 10.0 * self._looks, **self._counts.pop(0))}

    def apply(self, plan: Plan, setting: object, phase: object) -> RolloutReport:
        return RolloutReport(version=2, total_s=0.1, reaction_s=0.1, drain_s=0.0)


def test_each_look_and_the_error_that_ends_the_loop_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet: Any = FakeFleet(
        {"depth": 0, "edges": 0}, {"depth": 100, "edges": 0}, {"depth": 100, "edges": 100}
    )
    setting: Any = SimpleNamespace(
        tasks=("depth", "edges"),
        problem=lambda phase: problem(phase.rates_qps["c"]["depth"], phase.rates_qps["c"]["edges"]),
    )
    options = ReplanOptions(period_s=0.01, horizon_s=5.0, options=Options())
    loop = ReplanLoop(fleet, plan_for(problem(10.0, 0.05)), setting, options, clock=lambda: 0.0)
    with caplog.at_level(logging.INFO, "serving"), pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(loop.run(), 30))
    stays, changes, *failed, ended = [
        record for record in caplog.records if record.name == "serving.replan.loop"
    ]
    assert stays.getMessage().startswith("load 10.1 queries/s; the plan in force reaches 0.896, ")
    assert stays.getMessage().endswith(": it stays")
    assert "it changes: " in changes.getMessage()
    assert len(failed) == options.max_failures - 1
    assert all("the plan in force stays" in record.getMessage() for record in failed)
    assert ended.getMessage() == "the live loop ends: 5 looks in a row failed"
    assert ended.levelname == "ERROR"
    assert error_of(ended) is TimeoutError
