"""Objective and runtime of the policies against the exact program on the three families."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from planner.experiments.curves import draw_boxes
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.policies import Options, solve

__all__ = ["run"]

FAMILIES = ("taskonomy", "domainnet", "cityscapes3d")
POLICIES = ("baj3o", "certified", "no-batching", "single-task-only", "proteus-like", "random")
EXACT = Options(gap=1e-3, solver="highs", time_limit_s=60.0)


def run(
    out_dir: str | Path, *, seeds: int = 10, edges: int = 4, clients_per_edge: int = 10,
    on_progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Writes optimality.csv and optimality.png.

    The reference is HiGHS on the mixed-integer program, edge flows aggregated, one program per
    edge, to a gap of 0.1 % or 60 s; its own gap is in the column `exact_gap`.
    """
    sizes = {"edges": edges, "clients": clients_per_edge}
    cases = [
        {"family": family, "seed": seed, **sizes}
        for family, seed in product(FAMILIES, range(seeds))
    ]
    title = "objective / exact, mixed budgets"
    study = Study("optimality", title, tuple(cases), _measure, _draw)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    problem = sample_problem(case["family"], "mixed", case["edges"], case["clients"], case["seed"])
    exact = solve(problem, "exact", EXACT).certificate
    for policy in POLICIES:
        found = solve(problem, policy, replace(EXACT, gap=5e-3)).certificate
        yield {
            "policy": policy,
            "objective": found.objective,
            "ratio": found.objective / exact.objective,
            "gap": found.gap,
            "runtime_s": found.runtime_s,
            "exact_objective": exact.objective,
            "exact_gap": exact.gap,
            "exact_runtime_s": exact.runtime_s,
        }


def _draw(rows: Sequence[Row], axes: Any) -> None:
    draw_boxes(rows, axes, y="ratio", by=("policy", "family"), y_label="objective / exact")
