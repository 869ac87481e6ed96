"""What a run of an experiment consists of, and who carries it out.

An experiment asks `Runs` for its runs: `SimulatedRuns`, or those of
`serving.experiment_runs.on_cluster` with real nodes, models and traffic. Both give the same record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cluster.demand import Phase
from cluster.timeline import TimelineEvent
from planner.plan import Plan
from serving.replan.change_policy import REACTIVE, ChangePolicy
from serving.replan.options import ReplanOptions
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun, simulate_live

__all__ = ["PLANNING_S", "SIMULATED", "RunRequest", "Runs", "SimulatedRuns"]

PLANNING_S = 0.5
"""that every simulated decision takes, the same on every machine, so that a run can be repeated"""


@dataclass(frozen=True, eq=False)
class RunRequest:
    """One run: the traffic of `phases` into a system that starts with `plan`."""

    setting: Setting
    plan: Plan
    planned_for: Phase
    """the load that `plan` was made for, and under which it keeps its budgets"""
    phases: tuple[Phase, ...]
    seed: int
    options: ReplanOptions | None = None
    """of the loop that changes the plan by `policy`; None for the frozen plan"""
    policy: ChangePolicy = REACTIVE
    timeline: tuple[TimelineEvent, ...] = ()
    believed: Setting | None = None
    """what plans are made with, where that differs from `setting`"""
    routing: RoutingMode = RoutingMode.SHARES


class Runs(Protocol):
    """Carries out one run after another."""

    @property
    def live(self) -> bool:
        """Whether a run takes as long as its traffic, on real nodes."""
        ...

    def run(self, request: RunRequest) -> LiveRun:
        """What came back, and what the loop did."""
        ...


@dataclass(frozen=True)
class SimulatedRuns:
    """Runs in simulated time, of which two of one request are the same."""

    planning_s: float | None = PLANNING_S
    """that every decision takes; None for as long as it takes here"""
    live: bool = False

    def run(self, request: RunRequest) -> LiveRun:
        """Raises what `simulate_live` raises."""
        return simulate_live(
            request.setting,
            request.plan,
            request.phases,
            request.options,
            seed=request.seed,
            timeline=request.timeline,
            policy=request.policy,
            believed=request.believed,
            routing=request.routing,
            planning_s=self.planning_s,
        )


SIMULATED = SimulatedRuns()
