"""Sensitivity: plans made with wrong setup costs or loads, delivered with the true ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from planner.allocation import tidy
from planner.evaluate import evaluate
from planner.experiments.curves import draw_curves
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.policies import Options, solve

__all__ = ["run"]

ERRORS = (0.0, 0.1, 0.2, 0.4, 0.8)
FILLS = (0.6, 1.0)


def run(out_dir: str | Path, *, seeds: int = 10, on_progress: Progress | None = None) -> Path:
    """Writes sensitivity.csv and sensitivity.png.

    Every nu_em (or lambda_it) the planner sees is the truth times exp(error x normal). What an
    overloaded node cannot take of the plan's shares is shed, against whole budgets; `ratio` is
    to the plan made with the truth, delivered alike.
    """
    cases = [
        {"wrong": wrong, "fill": fill, "error": error, "seed": seed}
        for wrong, fill, error, seed in product(("setup", "load"), FILLS, ERRORS, range(seeds))
    ]
    study = Study("sensitivity", "accuracy delivered under errors", tuple(cases), _measure, _draw)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    truth = sample_problem("taskonomy", "compute", 2, 10, case["seed"], window_s=0.1)
    rng = np.random.default_rng([case["seed"], 31])
    field = {"setup": "edge_setup_em", "load": "load_ct"}[case["wrong"]]
    true = getattr(truth, field)
    seen = true * np.exp(case["error"] * rng.normal(0, 1, true.shape))
    believed = truth.changed(**{field: seen})
    options = Options(overrun=None, fill=case["fill"], gap=5e-3)
    results = []
    for problem in (believed, truth):
        allocation = solve(problem, "certified", options).allocation
        delivered = tidy(truth, allocation, fill=1.0, batched=True)
        results.append(evaluate(truth, delivered).objective)
    before = evaluate(truth, solve(believed, "certified", options).allocation)
    yield {
        "delivered": results[0],
        "ratio": results[0] / results[1],
        "overloads": len(before.violations()),
    }


def _draw(rows: Sequence[Row], axes: Any) -> None:
    told = [{**row, "line": f"{row['wrong']}, fill {row['fill']}"} for row in rows]
    draw_curves(
        told, axes, x="error", y="ratio", by="line",
        x_label="error (sigma of the logarithm)", y_label="delivered / with the truth",
    )  # fmt: skip
