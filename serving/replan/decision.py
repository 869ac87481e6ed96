"""Whether a new plan is worth a change: a pure function of the load and both plans."""

from __future__ import annotations

from dataclasses import dataclass, field

from planner.evaluate import evaluate
from planner.plan import Plan
from planner.policies import Options
from planner.problem import Problem
from serving.rollout.execute import RolloutReport

__all__ = ["Decision", "ReplanOptions", "decide"]


@dataclass(frozen=True)
class ReplanOptions:
    """How often to look, over how long to average, and what a change must gain (F1)."""

    period_s: float = 5.0
    horizon_s: float = 10.0
    min_gain: float = 0.015
    overload: float = 1.35
    """use / budget above which the plan in force counts as broken by the load. Budgets are planned
    with headroom (`fill`, `budget_share`), and a few seconds of Poisson arrivals scatter widely."""
    max_failures: int = 5
    """looks in a row that fail, at which the loop ends and says why"""
    policy: str = "baj3o"
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Decision:
    """What one look at the load led to."""

    at_s: float
    load_qps: float
    present: float
    """objective of the plan in force under the load seen now"""
    proposed: float
    reason: str
    """why the plan changes; empty if it stays"""
    plan: Plan
    """the plan in force after the decision"""
    change: RolloutReport | None = None


def decide(
    problem: Problem, present: Plan, proposed: Plan, options: ReplanOptions
) -> tuple[float, float, str]:
    """(objective of the present plan, of the proposed one, reason to change or "").

    Both are evaluated under the load of `problem` with full budgets.
    """
    now = evaluate(problem, present)
    then = evaluate(problem, proposed)
    gain = then.objective - now.objective
    tightest = now.summary().tightest_by_constraint
    broken = [label for label, use in tightest.items() if use > options.overload]
    if broken:
        return now.objective, then.objective, f"the load breaks {', '.join(sorted(broken))}"
    if gain >= options.min_gain:
        return now.objective, then.objective, f"gains {gain:+.3f}"
    return now.objective, then.objective, ""
