"""Objective by iteration of the alternations, from every starting point."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from planner.experiments.curves import draw_curves
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.options import EdgeForm
from planner.policies import Options, solve

__all__ = ["run"]

FAMILIES = ("taskonomy", "domainnet", "cityscapes3d")


def run(out_dir: str | Path, *, seeds: int = 10, on_progress: Progress | None = None) -> Path:
    """Writes convergence.csv and convergence.png: best value so far / upper bound."""
    cases = [
        {"family": family, "policy": policy, "seed": seed}
        for family, policy, seed in product(FAMILIES, ("baj3o", "j3o"), range(seeds))
    ]
    title = "best plan so far by iteration"
    study = Study("convergence", title, tuple(cases), _measure, _draw)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    problem = sample_problem(case["family"], seed=case["seed"])
    solution = solve(problem, case["policy"], Options(overrun=None, gap=0.0))
    form: EdgeForm = "unbatched" if case["policy"] == "j3o" else "batched"
    reference = solve(problem, "certified", Options(overrun=None, gap=5e-3, edge_form=form))
    for start, values in solution.iterates.items():
        best = 0.0
        for iteration, value in enumerate(values, start=1):
            best = max(best, value)
            ratio = best / reference.certificate.upper_bound
            yield {"start": start, "iteration": iteration, "objective": value, "ratio": ratio}


def _draw(rows: Sequence[Row], axes: Any) -> None:
    told = [{**row, "line": f"{row['policy']}, {row['start']}"} for row in rows]
    draw_curves(
        told, axes, x="iteration", y="ratio", by="line",
        x_label="iteration", y_label="objective / upper bound",
    )  # fmt: skip
