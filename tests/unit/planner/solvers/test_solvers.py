"""Solvers: same answers, bounds that hold for any prices, silence, the way around Gurobi."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.edge_cost import EdgeCost
from planner.programs.formulation import build_formulation
from planner.solvers import LinearProgram, ProgramStatus, SolverLimits, solve_program
from planner.solvers import choose as choose_module
from planner.solvers.gurobi import GurobiUnavailableError
from planner.solvers.program import safe_dual_bound
from support.planner_cases import random_problem


def knapsack(integer: bool) -> LinearProgram:
    """max 3a + 4b + 5c with 2a + 3b + 4c <= 5: relaxed 3 + 4 = 7, also the integer optimum."""
    return LinearProgram(
        np.array([3.0, 4.0, 5.0]),
        np.ones(3),
        np.full(3, integer),
        sp.csc_matrix([[2.0, 3.0, 4.0]]),
        np.array([5.0]),
        np.ones(1),
    )


@pytest.mark.parametrize("solver", ["highs", "gurobi", "auto"])
def test_a_knapsack(solver: str) -> None:
    result = solve_program(knapsack(True), SolverLimits(), solver)  # type: ignore[arg-type]
    assert result.status is ProgramStatus.OPTIMAL
    assert result.objective == pytest.approx(7.0)
    assert result.x_v == pytest.approx([1, 1, 0])
    assert 7.0 <= result.bound <= 7.01


def test_a_linear_program_has_prices() -> None:
    result = solve_program(knapsack(False), SolverLimits())
    assert result.dual_r is not None
    assert result.bound == pytest.approx(7.0)
    assert 1.25 <= result.dual_r[0] <= 4 / 3 + 1e-9


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 1000), price=st.floats(0, 100, allow_nan=False))
def test_any_price_gives_a_bound(seed: int, price: float) -> None:
    problem = random_problem(seed % 5, edges=1, clients=2)
    model = build_formulation(
        problem, fill=0.6, edge_cost=EdgeCost.batched(problem), choose=False,
        allowed_em=np.zeros((1, 6), dtype=bool),
    )  # fmt: skip
    best = solve_program(model.program, SolverLimits())
    rng = np.random.default_rng(seed)
    any_r = price * rng.random(model.program.matrix.shape[0])
    assert safe_dual_bound(model.program, any_r) >= best.objective
    assert safe_dual_bound(model.program, -any_r) >= best.objective
    assert best.bound == pytest.approx(best.objective, abs=1e-6)


def test_without_a_gurobi_licence_highs_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise GurobiUnavailableError("no licence")

    monkeypatch.setattr(choose_module, "solve_gurobi", refuse)
    assert solve_program(knapsack(True), SolverLimits(), "gurobi").solver == "HiGHS"


def test_a_program_beyond_the_free_licence_goes_to_highs() -> None:
    size = 2100
    program = LinearProgram(
        np.ones(size), np.ones(size), np.ones(size, dtype=bool),
        sp.csc_matrix(np.ones((1, size))), np.array([5.0]), np.ones(1),
    )  # fmt: skip
    for solver in ("auto", "gurobi"):
        result = solve_program(program, SolverLimits(), solver)
        assert result.objective == pytest.approx(5.0)
        assert solver == "gurobi" or result.solver == "HiGHS"


def test_solvers_print_nothing() -> None:
    code = (
        "from test_solvers import knapsack\n"
        "from planner.solvers import SolverLimits, solve_program\n"
        "for s in ('highs', 'gurobi'): solve_program(knapsack(True), SolverLimits(), s)\n"
        "solve_program(knapsack(False), SolverLimits())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout == ""
