"""F17: bursts that clients have in common, in windows, on links and in the bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.allocation import Allocation
from planner.bursts.headroom_row import headroom_cost
from planner.bursts.late_windows import late_share_e
from planner.bursts.link_share import with_link_headroom
from planner.bursts.window_routes import thin
from planner.evaluate import window_work_f11
from planner.instances import sample_problem
from planner.policies import Options, solve
from planner.problem import Problem, ProblemError
from planner.window_work import burst_variance_e
from support.planner_cases import drawn_edge_routes, one_client, random_problem

WINDOWS = 20_000


def with_bursts(problem: Problem, dispersion: float, correlation: float) -> Problem:
    dispersion_c = np.full(len(problem.clients), dispersion)
    return problem.changed(dispersion_c=dispersion_c, burst_correlation=correlation)


@pytest.mark.parametrize(
    ("correlation", "expected"), [(0.0, [13.0, 4.0]), (0.5, [19.0, 4.0]), (1.0, [25.0, 4.0])]
)
def test_bursts_in_common_add_up_to_more(correlation: float, expected: list[float]) -> None:
    """4 and 9 alone are (2 + 3)^2 together; the third client is steadier than Poisson."""
    problem = random_problem(0, clients=4).changed(
        edge_of_a=[0, 0, 1, 1], burst_correlation=correlation
    )
    alone_a = np.array([4.0, 9.0, -1.0, 5.0])
    assert burst_variance_e(problem, alone_a).tolist() == pytest.approx(expected)


def test_windows_planned_for_bursts_in_common_are_rarely_overrun_by_them() -> None:
    problem = with_bursts(sample_problem("taskonomy", "compute", 1, 8, 2), 6.0, 1.0)
    known = solve(problem, "certified", Options(gap=5e-3))
    assert late_share_e(problem, known.allocation, windows=WINDOWS).max() <= 0.08
    alone = solve(with_bursts(problem, 6.0, 0.0), "certified", Options(gap=5e-3))
    assert late_share_e(problem, alone.allocation, windows=WINDOWS).max() >= 0.12
    assert 0.8 * alone.objective < known.objective <= known.certificate.upper_bound


def test_drawn_windows_have_the_correlation_that_is_stated() -> None:
    """Two clients with 4 queries a window and I = 5: the work of a window has variance
    8 x 5 + 2 rho x 16, in units of c^2."""
    problem = with_bursts(random_problem(0, edges=1, clients=2, models=1, tasks=1), 5.0, 0.6)
    problem = problem.changed(
        load_ct=np.full((2, 1), 4.0), window_e=np.ones(1), edge_setup_em=np.zeros((1, 1)),
        edge_marginal_em=np.ones((1, 1)), edge_compute_e=np.full(1, 15.5),
    )  # fmt: skip
    plan = Allocation.empty(problem)
    plan.edge_atm[:] = 1.0
    alone, stated, common = (
        late_share_e(problem.changed(burst_correlation=rho), plan, windows=200_000)[0]
        for rho in (0.0, 0.6, 1.0)
    )
    # Negative binomial in common: gamma of shape 1 times 8, P(at least 16) = (8 / 9)^16.
    assert common == pytest.approx((8 / 9) ** 16, abs=0.005)
    assert alone < stated < common
    assert stated == pytest.approx(alone + 0.6 * (common - alone), abs=0.02)


def test_the_row_of_the_bound_lies_below_every_window_with_common_bursts() -> None:
    rng = np.random.default_rng(5)
    for seed in range(60):
        problem = random_problem(seed, edges=1)
        clients = len(problem.clients)
        low = float(rng.choice([0.0, 1.0, 1.5]))
        problem = problem.changed(
            dispersion_c=rng.uniform(low, 30, clients), burst_correlation=float(rng.random())
        )
        row = headroom_cost(problem, 0.05)
        plan = thin(problem, drawn_edge_routes(problem, rng), 0.05)
        queries_em = problem.window_e[:, None] * plan.edge_rate_em(problem)
        work_e = (row.marginal_em * queries_em).sum(axis=1)
        assert work_e <= problem.edge_compute_e * problem.window_e * (1 + 1e-9)


def test_the_bound_is_closer_where_bursts_are_in_common() -> None:
    for seed in range(5):
        problem = with_bursts(random_problem(seed, edges=1), 20.0, 0.0)
        alone = headroom_cost(problem, 0.05).marginal_em
        common = headroom_cost(problem.changed(burst_correlation=1.0), 0.05).marginal_em
        assert common.sum() > alone.sum()


def test_an_edges_link_gets_less_where_its_clients_burst_at_once() -> None:
    problem = with_bursts(random_problem(6, edges=1, clients=5), 20.0, 0.0).changed(
        edge_bandwidth_e=np.full(1, 60.0), edge_backlog_e=np.full(1, 0.4)
    )
    alone, common = (
        with_link_headroom(
            problem.changed(burst_correlation=rho), 0.05, spillover=False
        ).edge_uplink_e[0]
        for rho in (0.0, 1.0)
    )
    assert 0 < common < alone


def test_one_client_has_nobody_to_burst_with() -> None:
    plan = Allocation.empty(one_client())
    plan.edge_atm[0, 0, 2] = 1.0
    problem = with_bursts(one_client(), 4.0, 0.0)
    together = problem.changed(burst_correlation=1.0)
    alone, common = (window_work_f11(each, plan, 0.05).use_n[0] for each in (problem, together))
    assert common == pytest.approx(alone)
    assert replace(one_client(), burst_correlation=0.5).digest == one_client().digest
    assert together.digest != problem.digest


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_correlation_is_a_number_from_0_to_1(value: float) -> None:
    with pytest.raises(ProblemError, match="burst_correlation: must be"):
        one_client(burst_correlation=value)
