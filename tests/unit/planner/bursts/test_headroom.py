"""F11 by simulation: windows planned with it are overrun as rarely as promised."""

from __future__ import annotations

from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pytest

from planner.allocation import Allocation
from planner.batch_work import poisson_work
from planner.bursts.headroom import relaxed_bound
from planner.bursts.headroom_row import HeadroomRows, headroom_cost
from planner.bursts.late_windows import late_share_e
from planner.bursts.window_routes import thin
from planner.certificate import Status
from planner.decomposition.component_search import SearchOptions
from planner.evaluate import evaluate, window_work_f11
from planner.instances import sample_problem
from planner.policies import POLICIES, Options, solve
from planner.policies.decomposed_bound import decomposed_bound
from support.planner_cases import drawn_edge_routes, one_client, random_problem

WINDOWS = 20_000


@pytest.mark.parametrize("window_s", [pytest.param(0.1, marks=pytest.mark.slow), 0.5])
@pytest.mark.parametrize("policy", ["baj3o", "certified"])
def test_windows_planned_with_headroom_are_rarely_overrun(policy: str, window_s: float) -> None:
    problem = sample_problem("taskonomy", "compute", 2, 8, 1, window_s=window_s)
    careful = solve(problem, policy, Options(overrun=0.05, gap=5e-3))
    assert late_share_e(problem, careful.allocation, windows=WINDOWS).max() <= 0.07
    mean = solve(problem, policy, Options(fill=1.0, overrun=None, gap=5e-3))
    assert late_share_e(problem, mean.allocation, windows=WINDOWS).max() >= 1 / 3
    assert careful.objective > 0.8 * mean.objective
    assert careful.plan.overrun == 0.05


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_policy_honours_it_below_a_valid_bound(policy: str) -> None:
    problem = random_problem(7)
    solution = solve(problem, policy, Options(overrun=0.05))
    checked = evaluate(problem, solution.plan, fill=0.6, overrun=0.05)
    assert checked.feasible
    assert evaluate(problem, solution.plan).feasible
    assert solution.objective <= solution.certificate.upper_bound


def test_the_work_of_a_window_by_hand() -> None:
    plan = Allocation.empty(one_client())
    plan.onloaded_em[0, 2] = True
    plan.edge_atm[0, 0, 2] = 1.0  # 3 queries a window at nu 0.02, c 0.003
    p = 1 - np.exp(-3)
    variance = 0.02**2 * p * (1 - p) + 0.003**2 * 3 + 2 * 0.02 * 0.003 * 3 * (1 - p)
    expected = 0.02 * p + 0.003 * 3 + 1.6448536 * np.sqrt(variance)
    usage = window_work_f11(one_client(), plan, 0.05)
    assert usage.use_n[0] == pytest.approx(expected, rel=1e-6)


def test_it_is_the_default_where_windows_are_planned() -> None:
    problem = random_problem(7)
    for policy in POLICIES:
        planned = solve(problem, policy).plan.overrun
        assert planned == (None if policy in ("j3o", "j3o-plain", "no-batching") else 0.05), policy
    assert solve(problem, "baj3o", Options(edge_form="unbatched")).plan.overrun is None
    assert solve(problem, "j3o", Options(edge_form="batched")).plan.overrun == 0.05
    assert solve(problem, "baj3o", Options(overrun=None)).plan.overrun is None


@pytest.mark.parametrize("overrun", [0.01, 0.05, 0.4])
def test_the_row_of_the_bound_lies_below_every_window_that_keeps_it(overrun: float) -> None:
    rng = np.random.default_rng(3)
    for seed in range(40):
        problem = random_problem(seed, edges=1)
        row = headroom_cost(problem, overrun)
        plan = thin(problem, drawn_edge_routes(problem, rng), overrun)
        queries_em = problem.window_e[:, None] * plan.edge_rate_em(problem)
        work_e = (row.marginal_em * queries_em).sum(axis=1)
        assert work_e <= problem.edge_compute_e * problem.window_e * (1 + 1e-9)


@pytest.mark.parametrize("ranges", [2, 3, 5])
def test_a_plan_keeps_the_row_of_the_range_that_it_lies_in(ranges: int) -> None:
    rng = np.random.default_rng(5)
    ranges_met = set()
    for seed in range(60):
        problem = random_problem(seed, edges=1)
        plan = thin(problem, drawn_edge_routes(problem, rng), 0.05)
        part = rng.uniform(0.0, 1.0) ** 4
        queries_em = part * problem.window_e[:, None] * plan.edge_rate_em(problem)
        root_s = float(np.sqrt(poisson_work(problem, queries_em).variance_em.sum()))
        rows = HeadroomRows(problem, 0.05).halved(ranges)
        own = max(number for number, row in enumerate(rows) if root_s <= row.most_e[0])
        work_s = (rows[own].cost.marginal_em * queries_em).sum() + rows[own].constant_e[0]
        assert work_s <= problem.edge_compute_e[0] * problem.window_e[0] * (1 + 1e-9)
        assert rows[-1].constant_e.tolist() == [0.0]
        ranges_met.add(own)
    assert ranges_met == set(range(ranges))


@pytest.mark.parametrize("overrun", [0.01, 0.05, 0.4])
@pytest.mark.parametrize("steady", [1.0, 0.3], ids=["Poisson", "steadier"])
def test_windows_of_few_queries_keep_the_row_of_their_range(overrun: float, steady: float) -> None:
    """Where set-ups are most of a batch, the variance is theirs, and more queries of a model may
    scatter less than few: also without a cost a query."""
    rng = np.random.default_rng(11)
    kept = 0
    for _ in range(300):
        setup_m = rng.uniform(0.0, 0.03, 3)
        marginal_m = rng.choice([0.0, 1.0]) * rng.uniform(0.0, 0.01, 3)
        problem = one_client(
            load_ct=[[30.0, 0.0]], edge_setup_em=[setup_m.tolist()],
            edge_marginal_em=[marginal_m.tolist()], dispersion_c=[steady],
            accuracy_mt=[[0.5, 0.5], [0.6, 0.5], [0.8, 0.8]],
        )  # fmt: skip
        window_s = float(problem.edge_compute_e[0] * problem.window_e[0]) * rng.uniform(0.02, 0.3)
        problem = problem.changed(edge_compute_e=np.array([window_s / problem.window_e[0]]))
        plan = Allocation.empty(problem)
        plan.onloaded_em[0] = True
        plan.edge_atm[0, 0] = rng.dirichlet(np.full(3, 0.3)) * rng.uniform(0.0, 1.0) ** 2
        if window_work_f11(problem, plan, overrun).use_n[0] > window_s:
            continue
        kept += 1
        queries_em = problem.window_e[:, None] * plan.edge_rate_em(problem)
        root_s = float(np.sqrt(poisson_work(problem, queries_em).variance_em.sum()))
        rows = HeadroomRows(problem, overrun)
        assert root_s <= rows.root_e[0] * (1 + 1e-9)
        for part in (0.0, 0.5, 0.9, 1.0):
            row = rows.between(np.array([part * root_s]), np.maximum(rows.root_e, root_s))
            work_s = (row.cost.marginal_em * queries_em).sum() + row.constant_e[0]
            assert work_s <= window_s * (1 + 1e-9)
    assert kept > 40


def test_a_model_whose_work_falls_with_its_queries_may_have_as_many_as_are_asked() -> None:
    """Without a cost a query, 15 queries a window are one batch of nu each time; at one query the
    window of 1.2 nu is overrun."""
    problem = one_client(
        load_ct=[[30.0, 0.0]], edge_setup_em=[[0.02, 0.02, 0.02]],
        edge_marginal_em=[[0.0, 0.0, 0.0]],
    )  # fmt: skip
    problem = problem.changed(edge_compute_e=np.array([1.2 * 0.02 / problem.window_e[0]]))
    row = HeadroomRows(problem, 0.05).whole()
    assert row.cost.marginal_em[0, 0] * 15.0 <= 0.02 * (1 + 1e-4)


def test_the_decomposed_bound_is_above_every_plan() -> None:
    for seed in range(5):
        problem = random_problem(seed)
        reached = max(
            solve(problem, policy, Options(gap=1e-3)).certificate.objective
            for policy in ("certified", "baj3o", "exact", "all-edge")
        )
        options = Options(overrun=0.05, gap=1e-3)
        bound_qps, method = decomposed_bound(problem, options)
        relaxed_qps, _ = relaxed_bound(problem, options)
        assert bound_qps >= reached * problem.total_load_qps * (1 - 1e-9)
        assert "by ranges" in method or bound_qps == relaxed_qps


def test_the_search_for_a_bound_keeps_to_a_tenth_of_the_time_and_what_it_lacks_is_relaxed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The plan before it may have used all of the time limit."""
    problem = sample_problem("random", "communication", edges=2, clients_per_edge=4, seed=0)
    options = Options(overrun=0.05, time_limit_s=60.0)
    turns_s: list[float] = []

    def stopped(piece: object, cost: object, limits: SearchOptions) -> SimpleNamespace:
        turns_s.append(limits.time_limit_s)
        return SimpleNamespace(bound_qps=np.inf, late=True)

    monkeypatch.setattr("planner.policies.decomposed_bound.search_component", stopped)
    assert decomposed_bound(problem, options) == relaxed_bound(problem, options)
    # Nothing is used up by searches that end at once, so the last turn may take all that is left.
    assert turns_s[0] <= 6.0 / 6
    assert turns_s[-1] <= 6.0


def test_the_decomposed_bound_is_far_below_that_of_shares_of_models() -> None:
    problem = sample_problem("random", "communication", edges=2, clients_per_edge=4, seed=0)
    found = solve(problem, "certified", Options(gap=1e-3)).certificate
    quick = solve(problem, "certified", Options(gap=1e-3, tight_bound=False)).certificate
    assert quick.objective == found.objective
    assert found.gap < 0.4 * quick.gap
    assert quick.bound_method.startswith("linear relaxation (F11")
    assert found.bound_method.endswith("(F11, linear by ranges)")


def test_the_row_of_the_bound_by_hand() -> None:
    """Without set-ups, c n + z c sqrt(n) <= W gives sqrt(V) <= r, where r = sqrt(h^2 + c W) - h and
    h = z c / 2, and each query costs c + z c^2 / r of the window."""
    problem = one_client(edge_setup_em=[[0.0, 0.0, 0.0]])
    z, window_s = 1.6448536, 1.0 * 0.5
    half = 0.5 * z * 0.003  # the largest c is big's
    root = np.sqrt(half**2 + 0.003 * window_s) - half
    expected = [c + z * c**2 / root for c in (0.001, 0.001, 0.003)]
    assert headroom_cost(problem, 0.05).marginal_em[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_its_certificate_says_how_its_bound_was_found() -> None:
    certificate = solve(one_client(), "baj3o", Options(overrun=0.05)).certificate
    assert certificate.bound_method == "linear relaxation (F11, linear under-estimate)"


def test_it_is_refused_where_there_are_no_windows_and_out_of_range() -> None:
    with pytest.raises(ValueError, match="overrun is about windows"):
        solve(one_client(), "j3o", Options(overrun=0.05, edge_form="unbatched"))
    with pytest.raises(ValueError, match=r"overrun must lie in \(0, 0.5\]"):
        Options(overrun=0.0)


def test_a_run_out_of_time_is_not_narrowed_again() -> None:
    problem = sample_problem("taskonomy", "compute", 1, 6, 1)
    careful = solve(problem, "baj3o", Options(overrun=0.05))
    hurried = solve(problem, "baj3o", Options(overrun=0.05, time_limit_s=1e-6))
    assert len(careful.trace) > 1
    assert len(hurried.trace) == 1
    assert hurried.evaluation.feasible


@pytest.mark.parametrize("gap", [1e-6, 0.5])
def test_it_is_optimal_only_within_the_gap_that_was_asked_for(gap: float) -> None:
    problem = sample_problem("taskonomy", "compute", 1, 6, 1)
    solution = solve(problem, "baj3o", Options(overrun=0.05, gap=gap))
    found = solution.certificate
    assert found.status == (Status.OPTIMAL if found.gap <= gap else Status.FEASIBLE)
    assert (found.gap <= gap) is (gap == 0.5)


def test_without_load_there_is_nothing_to_reach() -> None:
    problem = one_client(load_ct=[[0.0, 0.0]])
    found = solve(problem, "certified", Options(overrun=0.05)).certificate
    assert (found.objective, found.upper_bound, found.gap) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("dispersion", [1.0, 6.0])
def test_the_row_of_the_bound_under_bursts_by_hand(dispersion: float) -> None:
    """One model at the edge; see the formula in `headroom_cost`."""
    problem = one_client(
        load_ct=[[2.0, 0.0]], dispersion_c=[dispersion], edge_setup_em=[[0.02, 0.02, 0.02]],
        edge_marginal_em=[[0.003, 0.003, 0.003]],
    )  # fmt: skip
    window_s = float(problem.window_e[0])
    work_s = float(problem.edge_compute_e[0]) * window_s
    queries, z = 2.0 * window_s, NormalDist().inv_cdf(0.95)
    none = np.exp(-queries)
    setup_s = 0.02 * (1 - none) / queries
    variance_s2 = setup_s * 0.02 * none + 0.003**2 + 2 * 0.02 * 0.003 * none
    half = 0.5 * z * 0.023
    root = np.sqrt(half**2 + 0.023 * work_s) - half
    kappa = np.sqrt((dispersion - 1) / queries)
    whole = np.hypot(root, kappa * work_s)
    cosine = root / whole if kappa else 1.0
    sine = kappa * work_s / whole
    expected = 0.003 + setup_s + z * variance_s2 / root * cosine + z * sine * kappa * 0.003
    cost = headroom_cost(problem, 0.05)
    assert cost.marginal_em[0, 0] == pytest.approx(expected, rel=1e-6)
