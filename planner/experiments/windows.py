"""Batching window: accuracy, promised latency and share served locally, by T_b."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from planner.allocation import Allocation
from planner.experiments.curves import draw_curves
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.paths import cloud_latency_at, edge_latency_at, local_latency_cm
from planner.policies import Options, solve
from planner.problem import Problem

__all__ = ["run"]

WINDOWS_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
PLANS = {
    "mean load, full window": Options(overrun=None, fill=1.0, gap=5e-3),
    "fill 0.6": Options(overrun=None, fill=0.6, gap=5e-3),
    "headroom, overrun 0.05": Options(fill=1.0, overrun=0.05, gap=5e-3),
}


def run(out_dir: str | Path, *, seeds: int = 10, on_progress: Progress | None = None) -> Path:
    """Writes windows.csv and windows.png (policy certified, regime compute)."""
    cases = [
        {"plan": plan, "window_s": window_s, "seed": seed}
        for plan, window_s, seed in product(PLANS, WINDOWS_S, range(seeds))
    ]
    title = "accuracy, latency and place of service by batching window"
    study = Study("windows", title, tuple(cases), _measure, _draw, panels=3)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    problem = sample_problem("taskonomy", "compute", 2, 10, case["seed"], window_s=case["window_s"])
    solution = solve(problem, "certified", PLANS[case["plan"]])
    shares = solution.evaluation.share_by_tier
    yield {
        "objective": solution.objective,
        "upper_bound": solution.certificate.upper_bound,
        "mean_bound_s": _mean_bound_s(problem, solution.allocation),
        "share_client": shares["client"],
        "share_edge": shares["edge"],
        "share_cloud": shares["cloud"],
        "shed": solution.evaluation.shed_share,
    }


def _mean_bound_s(problem: Problem, found: Allocation) -> float:
    """Bound on the latency, mean over the queries that are answered."""
    load_at = problem.load_ct[problem.client_of_a]
    local_ctm = problem.load_ct[:, :, None] * found.local_ctm
    edge_at, cloud_at = load_at * found.edge_atm.sum(axis=2), load_at * found.cloud_at
    flows = (
        (local_ctm, local_latency_cm(problem)[:, None, :]),
        (edge_at, edge_latency_at(problem)),
        (cloud_at, cloud_latency_at(problem)),
    )
    waited_s = sum(float((flow * bound)[flow > 0].sum()) for flow, bound in flows)
    return waited_s / sum(float(flow.sum()) for flow, _ in flows)


def _draw(rows: Sequence[Row], axes: Any) -> None:
    panels = {
        "objective": "accuracy per sent query",
        "mean_bound_s": "mean bound on the latency, s",
        "share_client": "share served locally",
    }
    for panel, (column, label) in zip(axes, panels.items(), strict=True):
        draw_curves(
            rows, panel, x="window_s", y=column, by="plan",
            x_label="window T_b, s", y_label=label,
        )  # fmt: skip
        panel.set_xscale("log")
    axes[1].set_yscale("log")
