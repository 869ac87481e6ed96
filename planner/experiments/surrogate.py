"""How far the Taylor surrogate understates the setup cost, by window and epsilon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from planner.edge_cost import EdgeCost
from planner.evaluate import edge_window_f9
from planner.experiments.curves import draw_curves
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.options import Options
from planner.policies import solve
from planner.policies.alternation import expected_queries_em
from planner.programs.offloading import Tiers, route

__all__ = ["run"]

WINDOWS_S = (0.05, 0.1, 0.2, 0.5, 1.0)
EPSILONS = (0.01, 0.1, 1.0)
ROUNDS = 10


def run(out_dir: str | Path, *, seeds: int = 10, on_progress: Progress | None = None) -> Path:
    """Writes surrogate.csv and surrogate.png: true use of the window / budget, no repair."""
    cases = [
        {"window_s": window_s, "epsilon": epsilon, "seed": seed}
        for window_s, epsilon, seed in product(WINDOWS_S, EPSILONS, range(seeds))
    ]
    title = "true window work of unrepaired surrogate plans"
    study = Study("surrogate", title, tuple(cases), _measure, _draw)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    problem = sample_problem("taskonomy", "compute", 2, 10, case["seed"], window_s=case["window_s"])
    options = Options(overrun=None, fill=1.0)
    models = solve(problem, "all-edge", options).allocation.onloaded_em
    held = solve(problem, "all-local", options).allocation.onloaded_cm
    every = solve(problem, "greedy-density", options).allocation.onloaded_em | models
    queries_em = expected_queries_em(problem)
    for iteration in range(1, ROUNDS + 1):
        cost = EdgeCost.surrogate(problem, queries_em, case["epsilon"])
        found = route(problem, held, every, cost, options, Tiers())
        queries_em = problem.window_e[:, None] * found.allocation.edge_rate_em(problem)
        usage = edge_window_f9(problem, found.allocation, 1.0)
        yield {"iteration": iteration, "use": float(usage.tightness_n.max())}


def _draw(rows: Sequence[Row], axes: Any) -> None:
    last = [
        {**row, "line": f"epsilon {row['epsilon']:g}"} for row in rows if row["iteration"] == ROUNDS
    ]
    draw_curves(
        last, axes, x="window_s", y="use", by="line",
        x_label="window T_b, s", y_label="true work / window",
    )  # fmt: skip
    axes.set_xscale("log")
