"""Energy: the accuracy that so many watts buy (F18), with a proven bound beside every point."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from planner.energy import Energy, EnergyGoal, PowerBudget, energy_of_devices
from planner.experiments.curves import draw_curves
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.instances import sample_problem
from planner.policies import Options, solve
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["run"]

EDGES, CLIENTS_PER_EDGE = 2, 4
BUDGETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Watts of all nodes, relative to those of the plan to which joules are free."""
PRICES = (0.03, 0.1, 0.3, 0.6, 1.0, 2.0, 4.0)
"""Right answers a joule, relative to what that plan gives for its joules."""
OPTIONS = Options(overrun=None, gap=1e-3, solver="highs", time_limit_s=10.0)


def run(
    out_dir: str | Path, *, seeds: int = 3, client_w: float = 10.0, edge_w: float = 70.0,
    cloud_w: float = 400.0, uplink_j_per_byte: float = 0.0, on_progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Writes energy.csv and energy.png: accuracy by watts, for budgets and for prices (policy
    exact).

    `*_w` is what a busy device draws more than an idle one. The defaults are power limits by the
    makers' data sheets: a Jetson Nano (10 W), a T4 (70 W), an A100 of 80 GB (400 W); all clients
    count as the first. `upper_bound` is one on the accuracy of every plan that draws as much or
    less: of a budget, the certificate's or what some price proves for it (bound at that price, and
    price times budget), whichever is lower; of a price, the certificate's and price times watts.
    """
    watts = {"client_w": client_w, "edge_w": edge_w, "cloud_w": cloud_w}
    given = {**watts, "uplink_j_per_byte": uplink_j_per_byte}
    cases = tuple({"seed": seed, **given} for seed in range(seeds))
    title = "accuracy by watts beyond idling"
    study = Study("energy", title, cases, _measure, _draw, panels=2)
    return run_study(study, out_dir, on_progress)


def _measure(case: Case) -> Iterable[Row]:
    problem = sample_problem("taskonomy", "mixed", EDGES, CLIENTS_PER_EDGE, case["seed"])
    energy = energy_of_devices(
        problem, client_w=case["client_w"], edge_w=case["edge_w"], cloud_w=case["cloud_w"],
        uplink_j_per_byte=case["uplink_j_per_byte"],
    )  # fmt: skip
    free = _priced(problem, energy, 0.0, None)
    most_w = _watts(free)
    # Accuracy a watt, and right answers a joule, of the plan to which joules are free.
    yield_per_w = free.evaluation.objective / max(most_w, 1e-300)
    bounds = [(0.0, free.certificate.upper_bound)]
    plans = [free]
    rows = []
    for level in PRICES:
        price = level * yield_per_w * problem.total_load_qps
        found = _priced(problem, energy, price, plans[-1])
        plans.append(found)
        bounds.append((level * yield_per_w, found.certificate.upper_bound))
        upper_bound = _least_bound(bounds[-1:], _watts(found))
        rows.append(_row("price", level, found, upper_bound, most_w))
    for level in BUDGETS:
        budget_w = level * most_w
        start = max(
            (plan for plan in plans if _watts(plan) <= budget_w),
            key=lambda plan: plan.evaluation.objective,
            default=None,
        )
        goal = EnergyGoal(energy, budget=PowerBudget(total_w=budget_w))
        found = solve(problem, "exact", replace(OPTIONS, energy=goal, warm_start=start))
        proven = (0.0, found.certificate.upper_bound)
        upper_bound = _least_bound([proven, *bounds], budget_w)
        rows.append(_row("budget", level, found, upper_bound, most_w))
    return rows


def _priced(problem: Problem, energy: Energy, price: float, start: Solution | None) -> Solution:
    goal = EnergyGoal(energy, price=price)
    return solve(problem, "exact", replace(OPTIONS, energy=goal, warm_start=start))


def _watts(found: Solution) -> float:
    return sum(found.evaluation.watts_by_node.values())


def _least_bound(bounds: Sequence[tuple[float, float]], watts: float) -> float:
    """The least that `bounds` say of the accuracy of plans of at most `watts`: each is a price,
    accuracy a watt, and a bound on accuracy less price times watts."""
    return min(bound + price * watts for price, bound in bounds)


def _row(form: str, level: float, found: Solution, upper_bound: float, most_w: float) -> Row:
    accuracy = found.evaluation.objective
    by_node, problem = found.evaluation.watts_by_node, found.problem
    return {
        "form": form,
        "level": level,
        "accuracy": accuracy,
        "upper_bound": max(upper_bound, accuracy),
        "gap": max(1 - accuracy / upper_bound, 0.0) if upper_bound > 0 else 0.0,
        "watts": _watts(found),
        "watts_share": _watts(found) / max(most_w, 1e-300),
        "client_watts": sum(by_node[client] for client in problem.clients),
        "edge_watts": sum(by_node[edge] for edge in problem.edges),
        "cloud_watts": by_node[problem.cloud],
        "status": str(found.certificate.status),
        "runtime_s": found.certificate.runtime_s,
    }


def _draw(rows: Sequence[Row], axes: Any) -> None:
    by_budget, by_price = axes
    told = [
        {"budget": row["level"], "line": line, "accuracy": row[column]}
        for line, column in (("plan", "accuracy"), ("no plan has more", "upper_bound"))
        for row in rows
        if row["form"] == "budget"
    ]
    draw_curves(
        told, by_budget, x="budget", y="accuracy", by="line",
        x_label="budget / watts without one", y_label="accuracy per sent query",
    )  # fmt: skip
    priced = [row for row in rows if row["form"] == "price"]
    for line, column, mark in (("plan", "accuracy", "o"), ("no plan has more", "upper_bound", "_")):
        by_price.plot(
            [row["watts_share"] for row in priced],
            [row[column] for row in priced],
            mark,
            label=line,
        )
    by_price.set_xlabel("watts at a price / watts without one")
    by_price.set_ylabel("accuracy per sent query")
    by_price.legend()
