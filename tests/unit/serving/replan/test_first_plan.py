"""The plan to begin with where routers follow their queues: models for what stays at home."""

from __future__ import annotations

from cluster.demand import Demand, Phase
from cluster.specs import SPECS
from planner.evaluate import evaluate
from planner.policies import Options, solve, solve_shares
from planner.solution import Solution
from serving.replan.first_plan import with_homes_for_queues
from serving.routing.routes import RoutingMode
from serving.simulation.live_run import simulate_live
from support.demo_setting import demo_setting

BURSTS = Demand.load(SPECS / "bursty-demand.yaml").phases[0]


def plans(phase: Phase) -> tuple[Solution, Solution]:
    """With a model for depth and normals on a client that asks most for segmentation, and what
    becomes of that where routers follow their queues."""
    setting = demo_setting()
    problem = setting.problem(phase)
    made = solve(problem, "certified", Options()).plan.onloading
    held = {**made, "client-2": ("rooms-small-geometry",)}
    shares = solve_shares(problem, held)
    return shares, with_homes_for_queues(setting, phase, shares, Options())


def test_in_bursts_it_answers_more_than_a_plan_for_shares() -> None:
    phase = BURSTS.model_copy(update={"duration_s": 24.0})
    shares, queues = plans(phase)
    assert queues.plan.onloading["client-2"] == ("rooms-small-all",)

    def accuracy(plan: Solution) -> float:
        run = simulate_live(
            demo_setting(), plan.plan, [phase], None, seed=12, routing=RoutingMode.PENALTY
        )
        return run.accuracy

    assert accuracy(queues) > 1.02 * accuracy(shares)


def test_it_keeps_the_budgets_and_says_how_good_its_shares_are() -> None:
    shares, queues = plans(BURSTS)
    found = evaluate(queues.problem, queues.allocation)
    assert found.feasible
    assert queues.certificate.upper_bound <= shares.certificate.upper_bound
    assert queues.plan.policy == shares.plan.policy


def test_where_no_client_gains_the_plan_stays() -> None:
    _, queues = plans(BURSTS)
    assert with_homes_for_queues(demo_setting(), BURSTS, queues, Options()) is queues
