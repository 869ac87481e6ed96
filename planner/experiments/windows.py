"""Batching window: accuracy, promised latency and share served locally, by T_b."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from planner.experiments.curves import draw_curves
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.policies import Options, solve

__all__ = ["run"]

WINDOWS_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
PLANS = {
    "mean load, full window": Options(fill=1.0, gap=5e-3),
    "fill 0.6": Options(fill=0.6, gap=5e-3),
    "headroom, overrun 0.05": Options(fill=1.0, overrun=0.05, gap=5e-3),
}


def run(out_dir: str | Path, *, seeds: int = 10, on_progress: Progress | None = None) -> Path:
    """Writes windows.csv and windows.png (policy certified, regime compute)."""
    cases = [
        {"plan": plan, "window_s": window_s, "seed": seed}
        for plan, window_s, seed in product(PLANS, WINDOWS_S, range(seeds))
    ]
    study = Study("windows", "accuracy by batching window", tuple(cases), _measure, _draw)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    problem = sample_problem("taskonomy", "compute", 2, 10, case["seed"], window_s=case["window_s"])
    solution = solve(problem, "certified", PLANS[case["plan"]])
    shares = solution.evaluation.share_by_tier
    yield {
        "objective": solution.objective,
        "upper_bound": solution.certificate.upper_bound,
        "promised_s": 2 * case["window_s"],
        "share_client": shares["client"],
        "share_edge": shares["edge"],
        "share_cloud": shares["cloud"],
        "shed": solution.evaluation.shed_share,
    }


def _draw(rows: Sequence[Row], axes: Any) -> None:
    draw_curves(
        rows, axes, x="window_s", y="objective", by="plan",
        x_label="window T_b, s", y_label="accuracy per sent query",
    )  # fmt: skip
    axes.set_xscale("log")
