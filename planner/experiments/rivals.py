"""Published planners beside J3O: accuracy against the certified bound, time, and late windows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from planner.bursts.late_windows import late_share_e
from planner.evaluate import evaluate
from planner.experiments.curves import draw_boxes
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.policies import Options, find_policy, solve

__all__ = ["run"]

FAMILIES = ("taskonomy", "domainnet", "cityscapes3d")
REGIMES = ("mixed", "compute")
"""Any budget may bind; the time of clients and windows is what is scarce."""
POLICIES = (
    "certified", "baj3o", "loki-like", "slackfit-like", "ipa-like", "infaas-like", "proteus-like",
    "jellybean-like",
)  # fmt: skip
BURSTY = 4.0
"""Dispersion I of every client where there are bursts (F17)."""
WINDOWS = 20_000
"""Windows that are drawn to count those that are late."""
PLANS = {
    "calm": (1.0, Options(gap=5e-3)),
    "bursts": (BURSTY, Options(gap=5e-3)),
    "bursts, planned for the mean": (BURSTY, Options(gap=5e-3, overrun=None, fill=1.0)),
}
"""Dispersion and options: twice with room for what arrivals do (F11, F17), once without any."""


def run(
    out_dir: str | Path, *, seeds: int = 10, edges: int = 2, clients_per_edge: int = 10,
    on_progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Writes rivals.csv and rivals.png: one row a policy.

    `quality` is the objective divided by the bound of `certified` on the same problem, `late_share`
    the share of drawn windows that are overrun (mean over the edges), `broken` how many constraints
    the plan breaks.
    """
    sizes = {"edges": edges, "clients": clients_per_edge}
    cases = [
        {"family": family, "regime": regime, "plan": plan, "seed": seed, **sizes}
        for family, regime, seed, plan in product(FAMILIES, REGIMES, range(seeds), PLANS)
    ]
    title = "published planners beside J3O; late windows where compute is scarce"
    study = Study("rivals", title, tuple(cases), _measure, _draw, panels=3)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    dispersion, options = PLANS[case["plan"]]
    sizes = case["edges"], case["clients"]
    calm = sample_problem(case["family"], case["regime"], *sizes, case["seed"])
    problem = calm.changed(dispersion_c=np.full(len(calm.clients), dispersion))
    bound = 1.0
    for policy in POLICIES:
        find_policy(policy).prepare()
        begun_s = time.process_time()
        solution = solve(problem, policy, options)
        cpu_s = time.process_time() - begun_s
        if policy == "certified":
            bound = solution.certificate.upper_bound
        checked = evaluate(problem, solution.plan, fill=options.fill, overrun=solution.overrun)
        late_e = late_share_e(problem, solution.allocation, windows=WINDOWS)
        yield {
            "policy": policy,
            "objective": solution.objective,
            "bound": bound,
            "quality": solution.objective / bound,
            "shed_share": checked.shed_share,
            "late_share": float(late_e.mean()),
            "broken": len(checked.violations()),
            "cpu_s": cpu_s,
        }


def _draw(rows: Sequence[Row], axes: Any) -> None:
    quality, late, cpu = axes
    calm = [row for row in rows if (row["plan"], row["regime"]) == ("calm", "mixed")]
    draw_boxes(calm, quality, y="quality", x="policy", by="family", y_label="objective / bound")
    scarce = [row for row in rows if row["regime"] == "compute"]
    draw_boxes(scarce, late, y="late_share", x="policy", by="plan", y_label="late windows")
    draw_boxes(calm, cpu, y="cpu_s", x="policy", by="family", y_label="CPU seconds")
    cpu.set_yscale("log")
