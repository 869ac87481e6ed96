"""Library composition: single-task models only, multi-task models only, both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from planner.experiments.curves import draw_boxes
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.policies import Options, solve
from planner.problem import Problem

__all__ = ["run"]

FAMILIES = ("taskonomy", "domainnet", "cityscapes3d")
REGIMES = ("memory", "mixed")
LIBRARIES = ("single-task", "multi-task", "both")


def run(out_dir: str | Path, *, seeds: int = 10, on_progress: Progress | None = None) -> Path:
    """Writes composition.csv and composition.png (regimes memory and mixed, policy certified)."""
    cases = [
        {"family": family, "regime": regime, "library": library, "seed": seed}
        for family, regime, library, seed in product(FAMILIES, REGIMES, LIBRARIES, range(seeds))
    ]
    study = Study("composition", "accuracy by library", tuple(cases), _measure, _draw, panels=2)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    problem = sample_problem(case["family"], case["regime"], 2, 10, case["seed"])
    problem = _restrict(problem, case["library"])
    yield {"objective": solve(problem, "certified", Options(overrun=None, gap=5e-3)).objective}


def _restrict(problem: Problem, library: str) -> Problem:
    """Models outside the library cannot run on clients and edges; the cloud keeps its own."""
    tasks_m = (problem.accuracy_mt > 0).sum(axis=1)
    out_m = {
        "single-task": tasks_m > 1,
        "multi-task": tasks_m == 1,
        "both": np.zeros(len(tasks_m), dtype=bool),
    }[library]
    return problem.changed(
        client_model_bytes_cm=np.where(out_m, np.inf, problem.client_model_bytes_cm),
        edge_model_bytes_em=np.where(out_m, np.inf, problem.edge_model_bytes_em),
    )


def _draw(rows: Sequence[Row], axes: Any) -> None:
    for panel, regime in zip(axes, REGIMES, strict=True):
        told = [row for row in rows if row["regime"] == regime]
        draw_boxes(
            told, panel, y="objective", x="family", by="library",
            y_label=f"accuracy per sent query, {regime} budgets",
        )  # fmt: skip
