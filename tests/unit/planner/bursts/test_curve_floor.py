"""Bounds under F11 where batches take what was measured: below every window that keeps it."""

from __future__ import annotations

import numpy as np
import pytest

from planner.bursts.curve_floor import least_work
from planner.bursts.headroom_row import HeadroomRows
from planner.bursts.window_routes import thin
from planner.evaluate import evaluate
from planner.problem import FloatArray, Problem
from support.planner_cases import drawn_edge_routes, one_client, random_problem, with_curves


def curved(seed: int) -> Problem:
    """Every other problem has a largest batch, and every third bursts, some of them at once."""
    problem = random_problem(seed, edges=1)
    if seed % 2:
        problem = problem.changed(edge_max_batch_e=np.array([4.0]))
    if seed % 3 == 0:
        problem = problem.changed(
            dispersion_c=np.random.default_rng(seed).uniform(0.5, 6.0, 4),
            burst_correlation=0.5 * (seed % 2),
        )
    return with_curves(problem, seed, bend=0.6)


@pytest.mark.parametrize("ranges", [1, 3])
@pytest.mark.parametrize("overrun", [0.01, 0.05, 0.4])
def test_a_plan_keeps_the_row_of_the_range_that_it_lies_in(overrun: float, ranges: int) -> None:
    rng = np.random.default_rng(3)
    full = 0
    for seed in range(40):
        problem = curved(seed)
        rows = HeadroomRows(problem, overrun).halved(ranges)
        drawn = drawn_edge_routes(problem, rng)
        drawn.edge_atm[:] *= problem.accuracy_mt.T > 0
        plan = thin(problem, drawn, overrun)
        plan.onloaded_em[:] = plan.edge_atm.any(axis=(0, 1))
        usages = evaluate(problem, plan, overrun=overrun).usages
        assert usages["F11"].tightness_n.max() <= 1 + 1e-6
        full += usages["F11"].tightness_n.max() > 0.99
        queries_em = problem.window_e[:, None] * plan.edge_rate_em(problem)
        window_s = float(problem.edge_compute_e[0] * problem.window_e[0])
        # sqrt(v) of the row is not known from outside: one of the rows must hold.
        kept = [
            float((row.cost.marginal_em * queries_em).sum() + row.constant_e[0])
            <= window_s * (1 + 1e-6)
            for row in rows
        ]
        assert any(kept)
    assert full >= 2


def test_a_line_has_the_slope_and_the_chord_of_a_line() -> None:
    """sigma is c + nu exp(-N), and a is c + nu p(N) / N, as well as a grid can tell."""
    line = one_client()  # 6 and 4 queries/s in windows of .5 s
    problem = with_curves(line, 0, bend=0.0)
    asked_em = np.array([[3.0, 2.0, 5.0]])
    mean_em, slope_em = least_work(problem, asked_em, np.array([1.6448536]))
    chord_em = line.edge_setup_em * -np.expm1(-asked_em) / asked_em + line.edge_marginal_em
    least_em = line.edge_setup_em * np.exp(-asked_em) + line.edge_marginal_em
    assert slope_em == pytest.approx(least_em, rel=0.1)
    assert np.all(slope_em <= least_em * (1 + 1e-9))
    assert mean_em == pytest.approx(chord_em, rel=0.04)
    assert np.all(mean_em <= chord_em * (1 + 1e-9))


def worst(problem: Problem, queries: float) -> tuple[FloatArray, FloatArray]:
    return least_work(problem, np.full((1, 3), queries), np.array([1.6448536]))


def test_more_queries_have_no_higher_floor() -> None:
    problem = with_curves(one_client(edge_max_batch_e=[4]), 1, bend=0.6)
    before = worst(problem, 1.0)
    for queries in (2.0, 4.0, 8.0, 16.0):
        now = worst(problem, queries)
        assert all(np.all(a <= b * 1.02) for a, b in zip(now, before, strict=True))
        before = now
