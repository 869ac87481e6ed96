"""The live loop: watch the load, plan again, and move to the new plan when it is worth it.

Every period the routers' counters give the load per client and task; the policy plans for it; a
plan that gains enough over the one in force, or replaces one that no longer keeps its budgets,
goes out as the next version.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster.demand import Phase
from planner.evaluate import evaluate
from planner.plan import Plan
from planner.policies import Options, solve
from planner.problem import Problem
from serving.node.server import NodeSnapshot

if TYPE_CHECKING:  # the decision needs no Ray
    from serving.control.changeover import Change
    from serving.control.fleet import Fleet

__all__ = ["Controller", "ControllerOptions", "Decision", "RateEstimator", "decide"]


@dataclass(frozen=True)
class ControllerOptions:
    """How often to look, over how long to average, and what a change must gain (F1)."""

    period_s: float = 5.0
    horizon_s: float = 10.0
    min_gain: float = 0.015
    overload: float = 1.35
    """use / budget above which the plan in force counts as broken by the load. Budgets are planned
    with headroom (`fill`, `budget_share`), and a few seconds of Poisson arrivals scatter widely."""
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
    change: Change | None = None


PRIOR_QUERIES = 0.5
FEWEST_QUERIES = 20
"""seen within the horizon, below which there is no load to plan for"""


class RateEstimator:
    """Queries per second by client and task, over the last `horizon_s` of snapshots.

    Half a query is added to every count, so that a task that happened not to be asked for in the
    last seconds still gets a way in the next plan.
    """

    def __init__(self, horizon_s: float, tasks: Collection[str]) -> None:
        self._horizon_s = horizon_s
        self._tasks = tuple(tasks)
        self._seen: deque[Mapping[str, NodeSnapshot]] = deque()

    def update(self, clients: Mapping[str, NodeSnapshot]) -> Phase | None:
        """Take in the clients' counters; None until two looks show enough queries between them."""
        self._seen.append(clients)
        while len(self._seen) > 2 and self._age_s(1) >= self._horizon_s:
            self._seen.popleft()
        if len(self._seen) < 2 or self._age_s(0) <= 0:
            return None
        first, last = self._seen[0], self._seen[-1]
        seen = sum(
            sum(snapshot.arrived.values()) - sum(first[name].arrived.values())
            for name, snapshot in last.items()
        )
        if seen < FEWEST_QUERIES:
            return None
        rates: dict[str, dict[str, float]] = {}
        for name, snapshot in last.items():
            spent_s = snapshot.taken_s - first[name].taken_s
            before = first[name].arrived
            rates[name] = {
                task: (snapshot.arrived.get(task, 0) - before.get(task, 0) + PRIOR_QUERIES)
                / spent_s
                for task in self._tasks
            }
        return Phase(duration_s=self._age_s(0), rates_qps=rates)

    def _age_s(self, position: int) -> float:
        pairs = zip(self._seen[position].values(), self._seen[-1].values(), strict=True)
        return min(last.taken_s - first.taken_s for first, last in pairs)


def decide(
    problem: Problem, present: Plan, proposed: Plan, options: ControllerOptions
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


class Controller:
    """Runs beside traffic until cancelled. `build` makes the problem of an estimated phase."""

    def __init__(
        self,
        fleet: Fleet,
        plan: Plan,
        build: Callable[[Phase], Problem],
        tasks: Collection[str],
        model_bytes: Mapping[tuple[str, str], int],
        options: ControllerOptions,
        *,
        clock: Callable[[], float],
        on_decision: Callable[[Decision], None] = lambda _: None,
    ) -> None:
        self._fleet = fleet
        self._plan = plan
        self._build = build
        self._model_bytes = model_bytes
        self._options = options
        self._clock = clock
        self._on_decision = on_decision
        self._rates = RateEstimator(options.horizon_s, tasks)
        self._clients = [node.name for node in fleet.topology.clients]

    async def run(self) -> None:
        """Look every period. A change that has begun is completed before cancellation ends it."""
        started_s = self._clock()
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(self._step, started_s))
            try:
                await asyncio.shield(step)
            except asyncio.CancelledError:
                await step
                raise
            await asyncio.sleep(self._options.period_s)

    def _step(self, started_s: float) -> None:
        snapshots = self._fleet.snapshots()
        phase = self._rates.update({name: snapshots[name] for name in self._clients})
        if phase is None:
            return
        problem = self._build(phase)
        proposed = solve(problem, self._options.policy, self._options.options).plan
        present_value, proposed_value, reason = decide(problem, self._plan, proposed, self._options)
        change = None
        if reason:
            change = self._fleet.apply(proposed, self._model_bytes)
            self._plan = proposed.model_copy(update={"version": change.version})
        self._on_decision(
            Decision(
                at_s=self._clock() - started_s,
                load_qps=phase.total_qps,
                present=present_value,
                proposed=proposed_value,
                reason=reason,
                plan=self._plan,
                change=change,
            )
        )
