"""The plan to begin with where routers follow their queues (`RoutingMode.PENALTY`).

A policy chooses models for the shares that it plans. Routers that follow their queues send up what
gains most and keep the rest, so other models are worth holding at home; `home_models` finds them.
The live loop would find them too, but has to load them under traffic.
"""

from __future__ import annotations

from dataclasses import replace

from cluster.demand import Phase
from planner.certificate import Status, relative_gap
from planner.policies import Options, solve_shares
from planner.solution import Solution
from serving.replan.home_models import home_models_of, with_better_homes
from serving.replan.moving_cost import LoadingLoss
from serving.replan.scenarios import stated_moments
from serving.setting.setting import Setting

__all__ = ["with_homes_for_queues"]

FREE = LoadingLoss(qps={}, load_s={}, drain_s=0.0)
"""nothing is in force yet, so no load costs an answer"""


def with_homes_for_queues(
    setting: Setting, phase: Phase, solution: Solution, options: Options
) -> Solution:
    """`solution` of `phase` with the models that clients should hold where they follow their
    queues, and the best shares for those; `solution` itself where no client gains.

    Its certificate is for those shares (F1), which promise less than routers make of the models.
    """
    problem = solution.problem
    capacity = setting.with_whole_links.problem(phase)
    moments = stated_moments(problem)
    held = with_better_homes(capacity, solution.allocation, moments, FREE, horizon_s=1.0)
    if held is solution.allocation:
        return solution
    onloading = {**solution.plan.onloading, **home_models_of(problem, held)}
    shares = solve_shares(problem, onloading, options)
    bound = min(shares.certificate.upper_bound, solution.certificate.upper_bound)
    certificate = solution.certificate.model_copy(
        update={
            "objective": shares.objective,
            "upper_bound": bound,
            "gap": relative_gap(shares.objective, bound),
            "status": Status.FEASIBLE,
            "runtime_s": solution.certificate.runtime_s + shares.certificate.runtime_s,
        }
    )
    return replace(shares, policy=solution.policy, certificate=certificate)
