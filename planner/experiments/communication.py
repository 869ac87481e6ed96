"""Communication stress: uplinks of edges (and then of clients) down to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from planner.experiments.curves import draw_curves
from planner.experiments.study import Case, Progress, Row, Study, compared, run_study
from planner.instances import sample_problem
from planner.policies import Options, solve

__all__ = ["run"]

FACTORS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
POLICIES = ("certified", "baj3o", "all-local", "all-edge", "all-cloud")


def run(
    out_dir: str | Path, *, seeds: int = 10, also: Sequence[str] = (),
    on_progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Writes communication.csv and communication.png: accuracy as kappa_e (or every uplink)
    shrinks, against serving locally alone; the policies `also` beside ours."""
    cases = [
        {"links": links, "factor": factor, "seed": seed}
        for links, factor, seed in product(("edge", "all"), FACTORS, range(seeds))
    ]
    policies = compared(POLICIES, also)
    measure = partial(_measure, policies=policies)
    title = "accuracy as uplinks shrink"
    study = Study("communication", title, tuple(cases), measure, _draw, 2, policies)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case, policies: Sequence[str]) -> Iterable[Row]:
    problem = sample_problem("taskonomy", "mixed", 2, 10, case["seed"])
    factor = case["factor"]
    problem = problem.changed(edge_uplink_e=problem.edge_uplink_e * factor)
    if case["links"] == "all":
        problem = problem.changed(client_uplink_c=problem.client_uplink_c * factor)
    for policy in policies:
        solution = solve(problem, policy, Options(overrun=None, gap=5e-3))
        shares = solution.evaluation.share_by_tier
        yield {
            "policy": policy,
            "objective": solution.objective,
            "share_client": shares["client"],
            "share_edge": shares["edge"],
            "share_cloud": shares["cloud"],
        }


def _draw(rows: Sequence[Row], axes: Any) -> None:
    panels = {"edge": "uplinks of edges, relative", "all": "uplinks of clients and edges, relative"}
    for panel, (links, x_label) in zip(axes, panels.items(), strict=True):
        draw_curves(
            [row for row in rows if row["links"] == links], panel, x="factor", y="objective",
            by="policy", x_label=x_label, y_label="accuracy per sent query",
        )  # fmt: skip
