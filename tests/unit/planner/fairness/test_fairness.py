"""F19: plans for the least client, or for all in proportion, with bounds that hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from cluster.errors import InputError
from planner.allocation import Allocation
from planner.client_accuracy import Objective, answerable_c, proportional_of
from planner.evaluate import evaluate
from planner.moving import Moving
from planner.plan import Plan
from planner.policies import PLANS_FAIRLY, POLICIES, Options, solve, solve_shares
from planner.problem import Problem
from support.planner_cases import one_client, random_problem

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=5, deadline=None, derandomize=True, database=None)
FAIR: tuple[Objective, ...] = ("least", "proportional")


def two_clients(**changes: Any) -> Problem:
    """`ann` asks 10 queries/s of `a`, `bob` 10 of `b`; the one edge answers 10 queries/s, `a` at
    0.9 and `b` at 0.6, and nothing else answers any."""
    fields: dict[str, Any] = {
        "clients": ("ann", "bob"), "edge_of_a": [0, 0], "load_ct": [[10.0, 0.0], [0.0, 10.0]],
        "models": ("both",), "accuracy_mt": [[0.9, 0.6]],
        "client_memory_c": [0.0, 0.0], "client_model_bytes_cm": [[1.0], [1.0]],
        "client_compute_c": [1.0, 1.0], "client_setup_cm": [[0.0], [0.0]],
        "client_marginal_cm": [[0.1], [0.1]], "client_uplink_c": [1e6, 1e6],
        "edge_memory_e": [1.0], "edge_model_bytes_em": [[1.0]], "window_e": [1.0],
        "edge_setup_em": [[0.0]], "edge_marginal_em": [[0.1]],
        "cloud_accuracy_t": [0.0, 0.0], "cloud_model_t": [-1, -1], "cloud_cost_t": [0.0, 0.0],
    }  # fmt: skip
    return one_client(**{**fields, **changes})


def test_the_mean_gives_all_to_one_and_fairness_shares() -> None:
    """With x of the edge for ann, clients have 0.9 x and 0.6 (1 - x). The mean wants x = 1, equal
    accuracies are 0.36 at x = 0.4, and the product is largest at x = 0.5."""
    options = Options(overrun=None, fill=1.0)
    expected = {"mean": [0.9, 0.0], "least": [0.36, 0.36], "proportional": [0.45, 0.3]}
    value = {"mean": 0.45, "least": 0.36, "proportional": (0.45 * 0.3) ** 0.5}
    for objective in ("mean", *FAIR):
        found = solve(two_clients(), "exact", replace(options, objective=objective))
        # The product is flat at its top: a gap of 1e-4 leaves x a hundredth.
        close = 2e-2 if objective == "proportional" else 1e-4
        assert found.evaluation.accuracy_c == pytest.approx(expected[objective], abs=close)
        assert found.objective == pytest.approx(value[objective], rel=2e-4)
        assert found.certificate.upper_bound >= value[objective]
        assert found.certificate.status == "optimal"
        assert found.certificate.maximised == objective


def test_the_least_client_leaves_the_others_all_they_can_have() -> None:
    """`cat` cannot have more than 0.1 whatever is done; ann and bob share the edge for the mean."""
    problem = two_clients(
        clients=("ann", "bob", "cat"), edge_of_a=[0, 0, 0], tasks=("a", "b", "c"),
        load_ct=[[10.0, 0, 0], [0, 10.0, 0], [0, 0, 1.0]], models=("both", "poor"),
        accuracy_mt=[[0.9, 0.6, 0.0], [0.0, 0.0, 0.1]],
        client_memory_c=[0.0, 0.0, 1.0], client_compute_c=[1.0, 1.0, 1.0],
        client_model_bytes_cm=np.ones((3, 2)), client_setup_cm=np.zeros((3, 2)),
        client_marginal_cm=np.full((3, 2), 0.1), client_uplink_c=[1e6, 1e6, 0.0],
        edge_model_bytes_em=[[1.0, 2.0]], edge_setup_em=np.zeros((1, 2)),
        edge_marginal_em=np.full((1, 2), 0.1), query_bytes_t=np.full(3, 100.0),
        answer_bytes_t=np.ones(3), cloud_accuracy_t=np.zeros(3), cloud_model_t=[-1, -1, -1],
        cloud_cost_t=np.zeros(3),
    )  # fmt: skip
    found = solve(problem, "exact", Options(overrun=None, fill=1.0, objective="least"))
    assert found.objective == pytest.approx(0.1)
    # bob needs a sixth of the edge for 0.1, ann has the rest: 0.9 * 5 / 6.
    assert found.evaluation.accuracy_c == pytest.approx([0.75, 0.1, 0.1], abs=1e-3)


def best_for(
    problem: Problem, x_cm: np.ndarray, y_m: np.ndarray, objective: Objective
) -> float | None:
    """The optimum with exactly these models at clients and at the one edge, from a program of its
    own with every variable of docs/formulation.md; None where they do not fit."""
    p = problem
    C, T, M = len(p.clients), len(p.tasks), len(p.models)
    over_c = np.where(x_cm, p.client_model_bytes_cm, 0).sum(1) > p.client_memory_c
    window = float(p.edge_compute_e[0] * p.window_e[0]) - float(p.edge_setup_em[0][y_m].sum())
    if over_c.any() or p.edge_model_bytes_em[0][y_m].sum() > p.edge_memory_e[0] or window < 0:
        return None
    # Columns: p_ctm, q_ctm, r_ct, and one value a client.
    P, Q, R = (0, C * T * M, 2 * C * T * M)
    columns = R + C * T + C
    rows: list[np.ndarray] = []
    rhs: list[float] = []
    right_c = np.zeros((C, columns))
    upper = np.zeros(columns)
    upper[-C:] = 1.0 if objective == "least" else np.inf
    work, backhaul, cloud = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    for c in range(C):
        busy, up = np.zeros(columns), np.zeros(columns)
        for t in range(T):
            load, share = p.load_ct[c, t], np.zeros(columns)
            for m in np.flatnonzero(p.accuracy_mt[:, t] > 0):
                own, away = P + (c * T + t) * M + m, Q + (c * T + t) * M + m
                upper[own], upper[away] = x_cm[c, m], y_m[m]
                share[[own, away]] = 1
                right_c[c, [own, away]] = load * p.accuracy_mt[m, t]
                busy[own] = load * (p.client_setup_cm[c, m] + p.client_marginal_cm[c, m])
                work[away] = p.window_e[0] * load * p.edge_marginal_em[0, m]
                up[away] = load * p.query_bytes_t[t]
            sky = R + c * T + t
            upper[sky] = float(p.cloud_model_t[t] >= 0)
            share[sky] = 1
            right_c[c, sky] = load * p.cloud_accuracy_t[t]
            up[sky] = backhaul[sky] = load * p.query_bytes_t[t]
            cloud[sky] = load * p.cloud_cost_t[t]
            rows.append(share)
            rhs.append(1.0)
        rows += [busy, up]
        rhs += [float(p.client_compute_c[c]), float(p.client_uplink_c[c])]
    rows += [work, backhaul]
    rhs += [window, float(p.edge_uplink_e[0])]
    if np.isfinite(p.cloud_compute):
        rows.append(cloud)
        rhs.append(p.cloud_compute)
    accuracy_c = right_c / p.load_ct.sum(axis=1)[:, None]
    at = np.array([1.0]) if objective == "least" else np.geomspace(1e-3, 1.0, 400)
    for c in range(C):
        for s in at:
            # z <= accuracy, or u <= log(s / 1e-6) + accuracy / s - 1.
            row = -accuracy_c[c] / s
            if objective == "least":
                row[-C] = 1.0
            else:
                row[columns - C + c] = 1.0
            rows.append(row)
            rhs.append(0.0 if objective == "least" else float(np.log(s / 1e-6) - 1))
    cost = np.zeros(columns)
    cost[-C:] = -1.0
    if objective == "least":
        cost[-C + 1 :] = 0.0
    bounds = [(0.0, most) for most in upper]
    found = linprog(cost, np.array(rows), np.array(rhs), bounds=bounds)
    if objective == "least":
        return float(-found.fun)
    return float(np.exp((-found.fun + C * np.log(1e-6)) / C))


@pytest.mark.parametrize("objective", FAIR)
@pytest.mark.parametrize("seed", [1, 4, 7])
def test_exact_equals_brute_force_over_all_model_sets(seed: int, objective: Objective) -> None:
    problem = random_problem(seed, edges=1, clients=2, models=3, tasks=2)
    assert answerable_c(problem).all()
    best = 0.0
    for bits in product((False, True), repeat=9):
        chosen_nm = np.array(bits).reshape(3, 3)
        best = max(best, best_for(problem, chosen_nm[:2], chosen_nm[2], objective) or 0.0)
    options = Options(overrun=None, fill=1.0, gap=1e-5, objective=objective)
    found = solve(problem, "exact", options)
    assert best > 0
    assert found.objective == pytest.approx(best, rel=1e-4)
    assert found.certificate.upper_bound >= best * (1 - 1e-4)
    assert found.certificate.gap <= 1e-5


@FEW
@given(seed=SEEDS, reach=st.sampled_from([1, 2]), solver=st.sampled_from(["auto", "highs"]))
def test_no_plan_for_another_objective_is_better(seed: int, reach: int, solver: Any) -> None:
    problem = random_problem(seed, reach=reach)
    plain = Options(overrun=None, solver=solver)
    plans = {
        objective: solve(problem, "exact", replace(plain, objective=objective))
        for objective in ("mean", *FAIR)
    }
    for objective, best in plans.items():
        assert evaluate(problem, best.plan, fill=0.6).feasible
        for other in plans.values():
            reached = other.evaluation.value(best.certificate.maximised)
            assert reached <= best.certificate.upper_bound * (1 + 1e-9), objective
            assert best.objective >= reached * (1 - 2e-4), objective


@FEW
@given(seed=SEEDS, objective=st.sampled_from(FAIR))
def test_under_random_arrivals_a_plan_is_at_least_as_fair_as_that_for_the_mean(
    seed: int, objective: Objective
) -> None:
    problem = random_problem(seed)
    mean = solve(problem, "exact")
    found = solve(problem, "exact", Options(objective=objective))
    assert found.evaluation.feasible
    assert found.objective >= mean.evaluation.value(objective) * (1 - 1e-3)
    assert found.certificate.upper_bound >= mean.evaluation.value(objective)
    assert mean.certificate.upper_bound >= found.evaluation.objective
    assert found.evaluation.usages["F11"].slack_n.min() >= -1e-9


def test_bursts_leave_a_fair_plan_fair() -> None:
    """Links are narrowed for it (F17), and the bound is made anew for what they are."""
    problem = replace(
        random_problem(4), dispersion_c=np.full(4, 8.0),
        bandwidth_a=2 * random_problem(4).client_uplink_c, backlog_a=np.full(4, 0.2),
    )  # fmt: skip
    for objective in FAIR:
        for overrun in (None, "default"):
            options = Options(objective=objective, overrun=overrun)
            found = solve(problem, "exact", options)
            assert found.evaluation.feasible
            assert 0 < found.objective <= found.certificate.upper_bound
            assert found.objective == found.evaluation.value(objective)


def test_clients_that_nothing_can_answer_do_not_count() -> None:
    """`cat` asks what no model serves, `dan` asks nothing: ann and bob are as before."""
    problem = two_clients(
        clients=("ann", "bob", "cat", "dan"), edge_of_a=[0] * 4, tasks=("a", "b", "c"),
        load_ct=[[10.0, 0, 0], [0, 10.0, 0], [0, 0, 1.0], [0, 0, 0]], accuracy_mt=[[0.9, 0.6, 0]],
        client_memory_c=np.zeros(4), client_compute_c=np.ones(4),
        client_model_bytes_cm=np.ones((4, 1)), client_setup_cm=np.zeros((4, 1)),
        client_marginal_cm=np.ones((4, 1)), client_uplink_c=np.full(4, 1e6),
        query_bytes_t=np.full(3, 100.0), answer_bytes_t=np.ones(3), cloud_accuracy_t=np.zeros(3),
        cloud_model_t=[-1, -1, -1], cloud_cost_t=np.zeros(3),
    )  # fmt: skip
    assert answerable_c(problem).tolist() == [True, True, False, False]
    found = solve(problem, "exact", Options(overrun=None, fill=1.0, objective="least"))
    assert found.objective == pytest.approx(0.36, rel=1e-3)
    assert list(found.evaluation.summary().accuracy_by_client) == ["ann", "bob"]


def test_where_nobody_can_be_answered_every_plan_is_worth_nothing() -> None:
    problem = two_clients(edge_memory_e=[0.0])
    for objective in FAIR:
        found = solve(problem, "exact", Options(objective=objective))
        assert found.objective == found.certificate.upper_bound == found.certificate.gap == 0.0


def test_a_client_that_gets_nothing_makes_the_product_nothing() -> None:
    counted_c = np.array([True, True])
    assert proportional_of(np.array([0.9, 0.0]), counted_c) == 0.0
    assert proportional_of(np.array([0.9, 0.4]), counted_c) == pytest.approx(0.6)
    nothing = evaluate(two_clients(), Allocation.empty(two_clients()))
    assert nothing.least_accuracy == nothing.proportional_accuracy == 0.0


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - set(PLANS_FAIRLY)))
def test_policies_that_plan_for_the_mean_alone_say_so(policy: str) -> None:
    with pytest.raises(InputError, match=rf"'{policy}' .* not for 'least' \(F19\); take exact"):
        solve(two_clients(), policy, Options(objective="least"))


def test_what_fairness_does_not_go_with_is_refused_in_a_line() -> None:
    with pytest.raises(ValueError, match=r"\(F16\) .* objective 'least' \(F19\)"):
        Options(objective="least", moving=Moving({}, 1.0, 10.0))
    with pytest.raises(InputError, match=r"not for 'least' \(F19\)"):
        solve_shares(two_clients(), {}, Options(objective="least"))


def test_the_plan_says_what_it_maximised_and_old_plans_are_read(tmp_path: Any) -> None:
    options = Options(overrun=None, fill=1.0, objective="least")
    plan = solve(two_clients(), "exact", options).plan
    again = Plan.load(plan.save(tmp_path / "plan.json"))
    assert again.certificate is not None
    assert again.predicted is not None
    assert again.certificate.maximised == "least"
    assert again.predicted.least_accuracy == pytest.approx(0.36, rel=1e-3)
    assert again.predicted.accuracy_by_client["bob"] == pytest.approx(0.36, rel=1e-3)
    newer = ("accuracy_by_client", "least_accuracy", "proportional_accuracy")
    older = plan.model_dump(mode="json")
    del older["certificate"]["maximised"]
    for name in newer:
        del older["predicted"][name]
    read = Plan.model_validate(older)
    assert read.certificate is not None
    assert read.predicted is not None
    assert read.certificate.maximised == "mean"
    assert read.predicted.least_accuracy is None
