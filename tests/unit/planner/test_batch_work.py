"""What batches take where it was measured (F15): by hand, as lines where it is a line, as drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.allocation import Allocation
from planner.batch_work import (
    first_batch_em,
    mean_work_em,
    one_query_em,
    poisson_work,
    work_of_counts,
)
from planner.bursts.late_answers import answered_s
from planner.bursts.late_windows import late_share_e
from planner.evaluate import evaluate, window_work_f11
from planner.problem import Problem
from support.planner_cases import (
    drawn_edge_routes,
    eight_of_twelve,
    one_client,
    random_problem,
    with_curves,
)

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=6, deadline=None, derandomize=True, database=None)


def measured(**changes: object) -> Problem:
    """10 ms for one query, 12 ms for two, 24 ms for four, of every model."""
    curve = {"curve_sizes_z": [1, 2, 4], "edge_curve_emz": [[[0.01, 0.012, 0.024]] * 3]}
    return one_client(**{**curve, **changes})


def everything_on_big(problem: Problem, part: float = 1.0) -> Allocation:
    plan = Allocation.empty(problem)
    plan.onloaded_em[0, 2] = True
    plan.edge_atm[0, 0, 2] = part
    return plan


@pytest.mark.parametrize(
    ("queries", "largest", "work_ms"),
    [
        (3.0, np.inf, 18.0), (0.5, np.inf, 9.0), (6.0, np.inf, 36.0), (0.0, np.inf, 0.0),
        (3.0, 2, 22.0), (4.0, 2, 24.0), (4.5, 2, 33.0), (1.0, 1, 10.0), (1.5, 1, 19.0),
    ],
)  # fmt: skip
def test_the_work_of_a_mean_of_queries_by_hand(
    queries: float, largest: float, work_ms: float
) -> None:
    problem = measured(edge_max_batch_e=[largest])
    found_em = mean_work_em(problem, np.full((1, 3), queries))
    assert 1e3 * found_em == pytest.approx(np.full((1, 3), work_ms))
    assert 1e3 * first_batch_em(problem)[0, 0] == pytest.approx(8.0)
    assert 1e3 * one_query_em(problem)[0, 0] == pytest.approx(10.0)


def test_a_curve_that_more_than_doubles_begins_at_nothing() -> None:
    steep = measured(edge_curve_emz=[[[0.01, 0.03, 0.05]] * 3])
    assert first_batch_em(steep).tolist() == [[0.0] * 3]
    assert mean_work_em(steep, np.full((1, 3), 0.5))[0] == pytest.approx([0.005] * 3)


def test_counts_of_queries_make_full_batches_and_a_rest() -> None:
    problem = measured(edge_max_batch_e=[4])
    found_mk = work_of_counts(problem, 0, np.array([1]), np.arange(10))
    by_hand = [0, 10, 12, 18, 24, 34, 36, 42, 48, 58]
    assert 1e3 * found_mk == pytest.approx(np.array([by_hand], dtype=float))


@FEW
@given(seed=SEEDS, largest=st.sampled_from([1.0, 3.0, 16.0, np.inf]))
def test_a_curve_that_is_a_line_is_that_line(seed: int, largest: float) -> None:
    line = random_problem(seed, edges=1).changed(edge_max_batch_e=np.array([largest]))
    line = line.changed(dispersion_c=np.full(4, 3.0))
    curve = with_curves(line, seed, bend=0.0)
    plan = drawn_edge_routes(line, np.random.default_rng(seed))
    before, after = (evaluate(each, plan, overrun=0.05).usages for each in (line, curve))
    for label in ("F6", "F9", "F11"):
        np.testing.assert_allclose(after[label].use_n, before[label].use_n, rtol=1e-9)


@FEW
@given(seed=SEEDS, largest=st.sampled_from([3.0, 16.0, np.inf]))
def test_the_moments_are_those_of_drawn_windows(seed: int, largest: float) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, edges=1).changed(edge_max_batch_e=np.array([largest]))
    problem = with_curves(problem, seed, bend=0.5)
    models = np.arange(len(problem.models))
    queries_em = rng.uniform(0.5, 20.0, (1, len(models)))
    counts_wm = rng.poisson(queries_em[0], (100_000, len(models)))
    work_mk = work_of_counts(problem, 0, models, np.arange(int(counts_wm.max()) + 1))
    work_wm = work_mk[models, counts_wm]
    found = poisson_work(problem, queries_em)
    scale_m = work_wm.std(axis=0)
    assert np.all(np.abs(found.mean_em[0] - work_wm.mean(axis=0)) <= 0.02 * scale_m)
    assert np.sqrt(found.variance_em[0]) == pytest.approx(scale_m, rel=0.05)
    centred_wm = counts_wm - counts_wm.mean(axis=0)
    together_m = (centred_wm * work_wm).mean(axis=0)
    tolerance_m = 0.04 * scale_m * np.sqrt(queries_em[0])
    assert np.all(np.abs(found.rise_em[0] * queries_em[0] - together_m) <= tolerance_m)


def test_evaluate_charges_what_was_measured() -> None:
    # The fitted line says 27.4 + 3.01 x 10 = 57.5 ms of ten queries; the curve 60 + 20 ms.
    ten = evaluate(eight_of_twelve(), everything_on_big(eight_of_twelve(), 10 / 12))
    assert ten.usages["F9"].use_n[0] == pytest.approx(0.08)
    assert [violation.label for violation in ten.violations()] == ["F9"]
    eight = evaluate(eight_of_twelve(), everything_on_big(eight_of_twelve(), 8 / 12))
    assert eight.feasible
    assert eight.usages["F9"].use_n[0] == pytest.approx(0.06)
    assert eight.usages["F6"].use_n[0] == pytest.approx(8 * 0.02)
    lines = {"curve_sizes_z": [], "edge_curve_emz": np.zeros((1, 3, 0))}
    assert evaluate(
        eight_of_twelve(**lines), everything_on_big(eight_of_twelve(), 10 / 12)
    ).feasible


@pytest.mark.parametrize("queries_qps", [0.6, 6.0, 12.0])
def test_windows_overrun_as_rarely_as_their_curve_says(queries_qps: float) -> None:
    problem = measured(load_ct=[[queries_qps, 0.0]], edge_max_batch_e=[4])
    plan = everything_on_big(problem)
    work_s = float(window_work_f11(problem, plan, 0.05).use_n[0])
    exact = problem.changed(edge_compute_e=[work_s / 0.5])
    assert late_share_e(exact, plan, windows=200_000)[0] <= 0.07
    short = problem.changed(edge_compute_e=[0.8 * work_s / 0.5])
    assert late_share_e(short, plan, windows=200_000)[0] > 0.05


def test_answers_come_when_their_measured_batches_are_done() -> None:
    problem = measured(window_e=[1.0], edge_max_batch_e=[2])
    arrived_s, model = np.array([0.1, 0.2, 0.3]), np.zeros(3, dtype=np.int64)
    done_s = answered_s(problem, 0, arrived_s, model)
    np.testing.assert_allclose(done_s, [1.012, 1.012, 1.022])
