"""Growth of the certified planner's time with clients, edges, models and tasks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from planner.experiments.curves import draw_curves
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.policies import Options, solve

__all__ = ["run", "slope"]

BASE = {"edges": 4, "clients_per_edge": 10, "models": 36, "tasks": 5}
SIZES = {
    "clients_per_edge": (5, 10, 20, 50, 100),
    "edges": (1, 2, 4, 8, 16),
    "models": (12, 18, 27, 36),
    "tasks": (2, 3, 5, 8),
}


def run(out_dir: str | Path, *, seeds: int = 3, on_progress: Progress | None = None) -> Path:
    """Writes scaling.csv and scaling.png: CPU seconds to a gap of 0.5 %, log-log, with slopes."""
    cases = [
        {"varied": varied, "size": size, "seed": seed}
        for varied, sizes in SIZES.items()
        for size in sizes
        for seed in range(seeds)
    ]
    study = Study("scaling", "time to a 0.5 % certificate", tuple(cases), _measure, _draw)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    sizes = {**BASE, case["varied"]: case["size"]}
    problem = sample_problem("random", "mixed", seed=case["seed"], **sizes)
    begun_s = time.process_time()
    certificate = solve(problem, "certified", Options(overrun=None, gap=5e-3)).certificate
    yield {
        "cpu_s": time.process_time() - begun_s,
        "gap": certificate.gap,
        "rounds": certificate.iterations,
    }


def slope(rows: Sequence[Row], varied: str) -> float:
    """Exponent of the time's growth with one size: least squares on logarithms."""
    points = [(row["size"], row["cpu_s"]) for row in rows if row["varied"] == varied]
    sizes, seconds = np.log(np.array(points)).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def _draw(rows: Sequence[Row], axes: Any) -> None:
    told = [
        {
            **row,
            "relative": row["size"] / BASE[row["varied"]],
            "line": f"{row['varied']} (slope {slope(rows, row['varied']):.2f})",
        }
        for row in rows
    ]
    draw_curves(
        told, axes, x="relative", y="cpu_s", by="line",
        x_label="size, relative to paper scale", y_label="CPU seconds",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
