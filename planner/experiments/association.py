"""Association: what clients gain when they reach several edges (F12), and who serves then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from planner.experiments.curves import draw_curves
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.policies import Options, solve
from planner.problem import FloatArray, Problem

__all__ = ["run"]

EDGES, CLIENTS_PER_EDGE = 4, 4
REGIMES = ("mixed", "compute", "memory")
SPREAD = 0.8
"""Standard deviation of the logarithm of an edge's budgets."""
OPTIONS = Options(overrun=None, gap=1e-3, time_limit_s=20.0)


def run(out_dir: str | Path, *, seeds: int = 10, on_progress: Progress | None = None) -> Path:
    """Writes association.csv and association.png: the objective relative to reach 1, and the
    share each tier serves, for reach 1, 2, 3 and all edges (policy certified).

    Edges are uneven, as a uniform grid would leave a second edge little to offer. A row's `gap`
    says how far its plan may be from the optimum; a larger reach starts from the plan of the
    smaller one.
    """
    cases = [{"regime": regime, "seed": seed} for regime, seed in product(REGIMES, range(seeds))]
    title = "accuracy by edges in reach"
    study = Study("association", title, tuple(cases), _measure, _draw, panels=2)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    first = previous = None
    for reach in range(1, EDGES + 1):
        drawn = sample_problem(
            "taskonomy", case["regime"], EDGES, CLIENTS_PER_EDGE, case["seed"], reach=reach
        )
        solution = solve(
            _uneven(drawn, case["seed"]), "certified", replace(OPTIONS, warm_start=previous)
        )
        first, previous = first or solution, solution
        shares = solution.evaluation.share_by_tier
        yield {
            "reach": reach,
            "objective": solution.objective,
            "gain": solution.objective / first.objective - 1,
            "gap": solution.certificate.gap,
            "share_client": shares["client"],
            "share_edge": shares["edge"],
            "share_cloud": shares["cloud"],
            "shed": solution.evaluation.shed_share,
        }


def _uneven(problem: Problem, seed: int) -> Problem:
    """The edges' budgets spread out, with the sums they had."""
    rng = np.random.default_rng([seed, 37])
    weight_e = np.exp(SPREAD * rng.normal(0, 1, len(problem.edges)))

    def spread(budget_e: FloatArray) -> FloatArray:
        return np.asarray(budget_e.sum() * weight_e / weight_e.sum())

    return problem.changed(
        edge_memory_e=spread(problem.edge_memory_e),
        edge_compute_e=np.minimum(spread(problem.edge_compute_e), 1.0),
        edge_uplink_e=spread(problem.edge_uplink_e),
    )


def _draw(rows: Sequence[Row], axes: Any) -> None:
    gains, shares = axes
    draw_curves(
        rows, gains, x="reach", y="gain", by="regime",
        x_label="edges a client reaches", y_label="accuracy gained over reach 1, relative",
    )  # fmt: skip
    tiers = ("client", "edge", "cloud")
    told = [
        {"reach": row["reach"], "tier": tier, "share": row[f"share_{tier}"]}
        for row in rows
        for tier in tiers
        if row["regime"] == "compute"
    ]
    draw_curves(
        told, shares, x="reach", y="share", by="tier",
        x_label="edges a client reaches (compute)", y_label="share of queries served",
    )  # fmt: skip
