"""Lines in the place of measured curves (F15): above where they must be safe, below for bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.allocation import Allocation
from planner.batch_work import mean_work_em, one_query_em
from planner.curve_lines import curve_error, first_lines, lines_above, lines_below
from planner.paths import edge_limit_at
from planner.problem import Problem
from support.planner_cases import drawn_edge_routes, one_client, random_problem, with_curves

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=15, deadline=None, derandomize=True, database=None)
LARGEST = st.sampled_from([1.0, 3.0, 16.0, np.inf])


def kinked() -> Problem:
    """Batches of at most 4: 10, 20 and 24 ms for one, two and four queries of big."""
    return one_client(
        edge_max_batch_e=[4], curve_sizes_z=[1, 2, 4],
        edge_curve_emz=[[[0.01, 0.02, 0.024]] * 3],
    )  # fmt: skip


def bent(seed: int, largest: float) -> Problem:
    problem = random_problem(seed, edges=1).changed(edge_max_batch_e=np.array([largest]))
    return with_curves(problem, seed, bend=0.5)


def test_lines_above_and_below_by_hand() -> None:
    problem, queries_em = kinked(), np.array([[0.0, 0.0, 3.0]])
    above = lines_above(problem, queries_em, first_lines(problem, "batched"))
    assert (above.setup_em[0, 2], above.marginal_em[0, 2]) == pytest.approx((0.016, 0.002))
    # A model without queries keeps its line.
    assert above.setup_em[0, 0] == problem.edge_setup_em[0, 0]
    below = lines_below(problem, "batched", queries_em)
    assert (below.setup_em[0, 2], below.marginal_em[0, 2]) == pytest.approx((0.0, 0.006))
    plan = Allocation.empty(problem)
    plan.onloaded_em[0, 2] = True
    plan.edge_atm[0, 0, 2] = 1.0  # 3 queries a window
    assert curve_error(problem, plan) == pytest.approx((22 - 18) / 22)


@FEW
@given(seed=SEEDS, largest=LARGEST, used=st.booleans())
def test_lines_below_lie_below_at_every_size(seed: int, largest: float, used: bool) -> None:
    problem, rng = bent(seed, largest), np.random.default_rng(seed)
    shape = problem.edge_setup_em.shape
    queries_em = rng.uniform(0, 30, shape) * (rng.random(shape) < 0.5)
    below = lines_below(problem, "batched", queries_em if used else None)
    serves_tm = (problem.accuracy_mt > 0).T.astype(float)
    asked_m = problem.window_e[0] * (edge_limit_at(problem).sum(axis=0) @ serves_tm)
    for part in np.linspace(0.0, 1.0, 60)[1:]:
        asked_em = part * asked_m[None, :]
        work_em = mean_work_em(problem, asked_em)
        assert np.all(below.work_em(problem, asked_em) <= work_em * (1 + 1e-12) + 1e-15)


@FEW
@given(seed=SEEDS, largest=LARGEST, near=st.sampled_from([1.1, 1.5, 2.0]))
def test_lines_above_lie_above_near_the_sizes_used(seed: int, largest: float, near: float) -> None:
    problem, rng = bent(seed, largest), np.random.default_rng(seed)
    queries_em = rng.uniform(0.05, 40, problem.edge_setup_em.shape)
    above = lines_above(problem, queries_em, first_lines(problem, "batched"), near)
    for factor in np.geomspace(1 / near, near, 21):
        other_em = factor * queries_em
        full_em = np.maximum(np.ceil(queries_em / largest) - 1, 0.0) * min(largest, 1e9)
        same_em = np.ceil(other_em / largest) == np.ceil(queries_em / largest)
        same_em &= other_em - full_em >= (queries_em - full_em) / near
        work_em, told_em = mean_work_em(problem, other_em), above.work_em(problem, other_em)
        assert np.all((told_em >= work_em * (1 - 1e-9)) | ~same_em)
    work_em = mean_work_em(problem, queries_em)
    assert np.all(above.work_em(problem, queries_em) >= work_em * (1 - 1e-9))


@pytest.mark.parametrize("seed", range(5))
def test_the_line_of_a_line_is_itself(seed: int) -> None:
    problem = with_curves(random_problem(seed, edges=1), seed, bend=0.0)
    plan = drawn_edge_routes(problem, np.random.default_rng(seed))
    queries_em = problem.window_e[:, None] * plan.edge_rate_em(problem)
    fitted = first_lines(problem, "batched")
    for found in (
        lines_above(problem, queries_em, fitted),
        lines_below(problem, "batched", queries_em),
    ):
        np.testing.assert_allclose(
            np.where(queries_em > 0, found.setup_em, 0.0),
            np.where(queries_em > 0, fitted.setup_em, 0.0), rtol=1e-6, atol=1e-9,
        )  # fmt: skip
    assert curve_error(problem, plan) == pytest.approx(0.0, abs=1e-6)


def test_edges_that_do_not_batch_pay_what_one_query_was_measured_to_take() -> None:
    problem = bent(3, np.inf)
    for lines in (first_lines(problem, "unbatched"), lines_below(problem, "unbatched")):
        np.testing.assert_allclose(lines.setup_em + lines.marginal_em, one_query_em(problem))
        assert np.all(lines.setup_em >= 0)


def test_without_curves_there_is_no_error_to_state() -> None:
    problem = one_client()
    assert curve_error(problem, Allocation.empty(problem)) is None
    assert curve_error(kinked(), Allocation.empty(kinked())) == 0.0
