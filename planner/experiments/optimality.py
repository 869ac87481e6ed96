"""Objective and runtime of the policies against the exact program on the three families."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from planner.certificate import Certificate
from planner.experiments.curves import draw_boxes
from planner.experiments.study import Case, Progress, Row, Study, compared, run_study
from planner.instances import sample_problem
from planner.policies import Options, solve
from planner.problem import Problem

__all__ = ["run"]

FAMILIES = ("taskonomy", "domainnet", "cityscapes3d")
POLICIES = ("baj3o", "certified", "no-batching", "single-task-only", "proteus-like", "random")
EXACT = Options(overrun=None, gap=1e-3, solver="highs", time_limit_s=60.0)


def run(
    out_dir: str | Path, *, seeds: int = 10, edges: int = 4, clients_per_edge: int = 10,
    also: Sequence[str] = (), on_progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Writes optimality.csv and optimality.png: objective and CPU seconds, each / exact.

    The reference is HiGHS on the mixed-integer program with F9, edge flows aggregated, one program
    per edge, to a gap of 0.1 % or 60 s; its own gap is in the column `exact_gap`. The certified
    planner stops at a gap of 0.5 %. The policies `also` are measured beside ours.
    """
    sizes = {"edges": edges, "clients": clients_per_edge}
    cases = [
        {"family": family, "seed": seed, **sizes}
        for family, seed in product(FAMILIES, range(seeds))
    ]
    title = "objective and time against HiGHS to 0.1 %, mixed budgets"
    policies = compared(POLICIES, also)
    measure = partial(_measure, policies=policies)
    study = Study("optimality", title, tuple(cases), measure, _draw, 2, policies)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case, policies: Sequence[str]) -> Iterable[Row]:
    problem = sample_problem(case["family"], "mixed", case["edges"], case["clients"], case["seed"])
    exact, exact_cpu_s = _timed(problem, "exact", EXACT)
    for policy in policies:
        found, cpu_s = _timed(problem, policy, replace(EXACT, gap=5e-3))
        yield {
            "policy": policy,
            "objective": found.objective,
            "ratio": found.objective / exact.objective,
            "gap": found.gap,
            "cpu_s": cpu_s,
            "exact_objective": exact.objective,
            "exact_gap": exact.gap,
            "exact_cpu_s": exact_cpu_s,
        }


def _timed(problem: Problem, policy: str, options: Options) -> tuple[Certificate, float]:
    begun_s = time.process_time()
    certificate = solve(problem, policy, options).certificate
    return certificate, time.process_time() - begun_s


def _draw(rows: Sequence[Row], axes: Any) -> None:
    told = [{**row, "time_ratio": row["cpu_s"] / row["exact_cpu_s"]} for row in rows]
    quality, time_ratio = axes
    draw_boxes(told, quality, y="ratio", x="policy", by="family", y_label="objective / exact")
    draw_boxes(
        told, time_ratio, y="time_ratio", x="policy", by="family", y_label="CPU time / exact"
    )
    time_ratio.set_yscale("log")
