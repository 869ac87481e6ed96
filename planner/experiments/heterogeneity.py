"""Client heterogeneity: the same total memory and compute, spread more and more unevenly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from planner.experiments.curves import draw_curves
from planner.experiments.study import Case, Progress, Row, Study, compared, run_study
from planner.instances import sample_problem
from planner.policies import Options, solve
from planner.problem import FloatArray

__all__ = ["run"]

SPREADS = (0.0, 0.25, 0.5, 1.0, 1.5)
POLICIES = ("certified", "baj3o", "all-local")


def run(
    out_dir: str | Path, *, seeds: int = 10, also: Sequence[str] = (),
    on_progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Writes heterogeneity.csv and heterogeneity.png; the spread is the standard deviation of
    the logarithm of a client's budgets. The policies `also` are planned with beside ours."""
    cases = [{"spread": s, "seed": seed} for s, seed in product(SPREADS, range(seeds))]
    policies = compared(POLICIES, also)
    measure = partial(_measure, policies=policies)
    title = "accuracy by spread of clients"
    study = Study("heterogeneity", title, tuple(cases), measure, _draw, policies=policies)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case, policies: Sequence[str]) -> Iterable[Row]:
    problem = sample_problem("taskonomy", "mixed", 2, 10, case["seed"])
    rng = np.random.default_rng([case["seed"], 23])
    draw_c = rng.normal(0, 1, len(problem.clients))
    problem = problem.changed(
        client_memory_c=_spread(problem.client_memory_c, case["spread"], draw_c),
        client_compute_c=_spread(problem.client_compute_c, case["spread"], draw_c),
    )
    for policy in policies:
        solution = solve(problem, policy, Options(overrun=None, gap=5e-3))
        yield {"policy": policy, "objective": solution.objective}


def _spread(budget_c: FloatArray, spread: float, draw_c: FloatArray) -> FloatArray:
    """Equal budgets times exp(spread x draw), with the sum they had."""
    weight_c = np.exp(spread * draw_c)
    return np.asarray(budget_c.sum() * weight_c / weight_c.sum())


def _draw(rows: Sequence[Row], axes: Any) -> None:
    draw_curves(
        rows, axes, x="spread", y="objective", by="policy",
        x_label="spread of client budgets", y_label="accuracy per sent query",
    )  # fmt: skip
