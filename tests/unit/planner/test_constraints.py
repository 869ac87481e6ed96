"""Each constraint label on an instance solved by hand (see `planner_cases.one_client`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.allocation import Allocation
from planner.evaluate import accuracy_qps_t, evaluate, net_qps
from planner.policies import Options, solve
from support.planner_cases import one_client

NO_CLOUD: dict[str, Any] = {"cloud_accuracy_t": [0.0, 0.0], "cloud_model_t": [-1, -1]}
NO_CLIENT: dict[str, Any] = {"client_memory_c": [0.0]}
NO_EDGE: dict[str, Any] = {"edge_memory_e": [0.0]}
LOCAL = {**NO_CLOUD, **NO_EDGE}
EDGE = {**NO_CLOUD, **NO_CLIENT}
CLOUD = {**NO_CLIENT, **NO_EDGE}

HAND_SOLVED: list[tuple[str, dict[str, Any], float]] = [
    # Nothing binds: a in the cloud at 0.9, b by big at 0.8 -> (6 * 0.9 + 4 * 0.8) / 10.
    ("F2", {}, 0.86),
    # 10 bytes hold one small model; small-a answers 6 * 0.5.
    ("F4", {**LOCAL, "client_memory_c": [10.0]}, 0.30),
    # 0.1 s/s buy 5 queries of small-a (0.02 s for 0.5 each), the best value per second.
    ("F5", {**LOCAL, "client_compute_c": [0.1]}, 0.25),
    # 500 bytes/s let 5 queries out, all to the cloud at 0.9.
    ("F7", {**NO_CLIENT, "client_uplink_c": [500.0]}, 0.45),
    # 3 of those 5 may go on to the cloud, 2 stay at the edge at 0.8.
    ("F7", {**NO_CLIENT, "client_uplink_c": [500.0], "edge_uplink_e": [300.0]}, 0.43),
    # 0.02 s/s of the cloud are 2 queries.
    ("F8", {**CLOUD, "cloud_compute": 0.02}, 0.18),
    # A window of 0.5 s has 0.03 s of work: big's setup 0.02 leaves 10/3 queries at 0.003, that
    # is 20/3 queries/s at 0.8; both small models (0.013 + 0.012 s) would earn only 0.46.
    ("F9", {**EDGE, "edge_compute_e": [0.06]}, 16 / 30),
]  # fmt: skip


@pytest.mark.parametrize(("label", "changes", "expected"), HAND_SOLVED)
def test_exact_finds_the_hand_solved_optimum(
    label: str, changes: dict[str, Any], expected: float
) -> None:
    solution = solve(one_client(**changes), "exact", Options(overrun=None, fill=1.0))
    assert solution.objective == pytest.approx(expected, abs=1e-6)
    assert solution.certificate.upper_bound == pytest.approx(expected, rel=2e-4)
    assert solution.evaluation.usages[label].tightness_n.max() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("label", "changes", "expected"), HAND_SOLVED)
def test_the_alternations_find_it_too(label: str, changes: dict[str, Any], expected: float) -> None:
    for policy in ("baj3o", "j3o") if label != "F9" else ("baj3o",):
        solution = solve(one_client(**changes), policy, Options(overrun=None, fill=1.0))
        assert solution.objective == pytest.approx(expected, abs=1e-6), policy


@pytest.mark.parametrize("policy", ["exact", "j3o"])
def test_f6_charges_a_setup_per_query(policy: str) -> None:
    # 0.11 s/s: 6 queries of small-a and 4 of small-b at 0.011 s use it all up.
    problem = one_client(**EDGE, edge_compute_e=[0.11])
    solution = solve(problem, policy, Options(overrun=None, fill=1.0, edge_form="unbatched"))
    assert solution.objective == pytest.approx(0.46, abs=1e-6)
    assert solution.evaluation.usages["F6"].tightness_n[0] == pytest.approx(1.0, abs=1e-6)


def test_fill_scales_compute_but_not_memory_or_links() -> None:
    problem = one_client(**LOCAL, client_compute_c=[0.1])
    half = solve(problem, "exact", Options(overrun=None, fill=0.5))
    assert half.objective == pytest.approx(0.125, abs=1e-6)
    assert evaluate(problem, half.plan, fill=1.0).usages["F5"].slack_n[0] == pytest.approx(0.05)
    linked = one_client(**NO_CLIENT, client_uplink_c=[500.0])
    assert solve(linked, "exact", Options(overrun=None, fill=0.5)).objective == pytest.approx(
        0.45, abs=1e-6
    )


def _all_local_big() -> Allocation:
    empty = Allocation.empty(one_client())
    empty.onloaded_cm[0, 2] = True
    empty.local_ctm[0, :, 2] = 1.0
    return empty


def test_f1_counts_shed_queries_as_wrong() -> None:
    plan = _all_local_big()
    plan.local_ctm[0, 1, 2] = 0.25
    found = evaluate(one_client(), plan)
    assert found.objective == pytest.approx((6 * 0.8 + 1 * 0.8) / 10)
    assert found.accuracy_t.tolist() == pytest.approx([0.8, 0.2])
    assert found.shed_share == pytest.approx(0.3)
    assert found.share_by_tier == pytest.approx({"client": 0.7, "edge": 0.0, "cloud": 0.0})
    assert found.utilization_by_node["c0"] == pytest.approx(7 * 0.05)


def test_a_task_that_nobody_asks_has_accuracy_zero() -> None:
    found = evaluate(one_client(load_ct=[[6.0, 0.0]]), _all_local_big())
    assert found.accuracy_t.tolist() == pytest.approx([0.8, 0.0])
    assert found.objective == pytest.approx(0.8)


def test_a_plan_is_worth_the_same_however_little_is_asked() -> None:
    found = evaluate(one_client(load_ct=[[0.06, 0.04]]), _all_local_big())
    assert found.objective == pytest.approx(0.8)
    assert found.share_by_tier["client"] == pytest.approx(1.0)


def test_f13_counts_what_the_cloud_cannot_answer_in_time() -> None:
    plan = Allocation.empty(one_client())
    plan.cloud_at[0, 0] = 0.5
    late = evaluate(one_client(deadline_t=[0.001, np.inf]), plan).usages["F13"]
    assert late.use_n.tolist() == pytest.approx([0.5])
    assert evaluate(one_client(), plan).usages["F13"].use_n.tolist() == [0.0]


@pytest.mark.parametrize(
    ("label", "changes"),
    [
        ("F4", {"client_memory_c": [50.0]}),
        ("F5", {"client_compute_c": [0.4]}),
    ],
)
def test_evaluate_names_the_broken_constraint(label: str, changes: dict[str, Any]) -> None:
    violations = evaluate(one_client(**changes), _all_local_big()).violations()
    assert [(v.label, v.node) for v in violations] == [(label, "c0")]


def test_evaluate_sees_shares_that_are_too_many_or_have_no_model() -> None:
    plan = _all_local_big()
    plan.cloud_at[0, 0] = 0.5
    assert [v.label for v in evaluate(one_client(), plan).violations()] == ["F2"]
    missing = replace(_all_local_big(), onloaded_cm=np.zeros((1, 3), dtype=bool))
    assert [v.label for v in evaluate(one_client(), missing).violations()] == ["F3"]


def test_evaluate_charges_a_setup_per_window_and_active_model() -> None:
    plan = Allocation.empty(one_client())
    plan.onloaded_em[0, :] = True
    plan.edge_atm[0, 0, 0] = 1.0  # 3 queries a window at small-a
    plan.edge_atm[0, 1, 2] = 0.5  # 1 query a window at big
    usages = evaluate(one_client(), plan).usages
    assert usages["F9"].use_n[0] == pytest.approx(0.01 + 3 * 0.001 + 0.02 + 0.003)
    assert usages["F6"].use_n[0] == pytest.approx(6 * 0.011 + 2 * 0.023)


def test_f7_and_f8_count_what_passes_through() -> None:
    plan = Allocation.empty(one_client())
    plan.onloaded_em[0, 2] = True
    plan.cloud_at[0, 0] = 0.5
    plan.edge_atm[0, 1, 2] = 1.0
    usages = evaluate(one_client(), plan).usages
    assert usages["F7"].use_n.tolist() == pytest.approx([700.0, 300.0])
    assert usages["F8"].use_n[0] == pytest.approx(3 * 0.01)


def test_every_usage_has_its_label_and_says_in_what_it_is_counted() -> None:
    problem = one_client()
    usages = evaluate(problem, Allocation.empty(problem), overrun=0.05).usages
    assert {key: usage.label for key, usage in usages.items()} == {key: key for key in usages}
    assert {key: usage.unit for key, usage in usages.items()} == {
        "F2": "share", "F3": "share", "F4": "bytes", "F5": "s/s", "F6": "s/s", "F7": "bytes/s",
        "F8": "s/s", "F9": "s/window", "F11": "s/window", "F13": "share",
    }  # fmt: skip


def test_the_accuracy_of_a_task_that_is_hardly_asked_for_counts() -> None:
    problem = one_client(load_ct=[[0.25, 4.0]])
    whole = Allocation.empty(problem)
    whole.cloud_at[0, 0] = 1.0
    accuracy_t = evaluate(problem, whole).accuracy_t
    assert accuracy_t[0] == pytest.approx(problem.cloud_accuracy_t[0])
    assert accuracy_t[1] == 0.0


def test_what_loading_costs_is_taken_off_what_policies_maximise() -> None:
    problem = one_client(client_moving_cm=[[0.5, 0.25, 0.125]])
    held = Allocation.empty(problem)
    held.onloaded_cm[0, :2] = True
    held.local_ctm[0, 0, 0] = 1.0
    assert net_qps(problem, held) == pytest.approx(accuracy_qps_t(problem, held).sum() - 0.75)
