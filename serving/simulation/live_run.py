"""A run in simulated time with the live loop beside it, estimates and decisions as live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from cluster.demand import Phase
from cluster.timeline import TimelineEvent
from models.runtime.device_errors import DeviceLostError
from planner.plan import Plan
from serving.errors import PlanningError
from serving.replan.change_policy import REACTIVE, ChangePolicy
from serving.replan.decision import Decision
from serving.replan.loop_state import LoopState
from serving.replan.options import ReplanOptions
from serving.replan.planning import Planner
from serving.replan.replanner import DecisionQuestion, Look, Replanner, must_answer, serving_nodes
from serving.rollout.budget_check import refuse_broken_budgets
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate_beside
from serving.simulation.simulated_system import SimulatedSystem
from serving.traffic.measurement import Measurements

__all__ = ["Change", "LiveRun", "simulate_live"]


@dataclass(frozen=True, eq=False)
class Change:
    """A change of plan that the loop made."""

    look: Look
    plan: Plan
    in_force_s: float
    """when every client followed its last routes"""


@dataclass(frozen=True, eq=False)
class LiveRun:
    """What came back, and what the loop did."""

    measurements: Measurements
    looks: list[Look]
    """empty without a loop"""
    changes: list[Change]
    loop_s: float = 0.0
    """of a core that looks and decisions took on this machine; in simulated time only"""

    @property
    def accuracy(self) -> float:
        """Score per query sent; what was refused scores 0 (F1)."""
        rows = self.measurements
        return float(rows.score[rows.answered].sum()) / max(len(rows), 1)

    @property
    def answered_share(self) -> float:
        """Answered queries per query sent."""
        return float(self.measurements.answered.sum()) / max(len(self.measurements), 1)

    @property
    def decisions_s(self) -> list[float]:
        """Time that each decision took, in the order in which they were made."""
        return [look.made.took_s for look in self.looks if look.made is not None]

    @property
    def models_moved(self) -> int:
        """Models that were loaded over the run, on all nodes."""
        decided = [
            each.look.made.decision
            for each in self.changes
            if each.look.made is not None and each.plan is each.look.change_to
        ]
        return sum(
            len(models)
            for decision in decided
            if decision is not None
            for models in decision.alternatives[decision.chosen].loads.values()
        )


def simulate_live(
    setting: Setting,
    plan: Plan,
    phases: Sequence[Phase],
    options: ReplanOptions | None,
    *,
    seed: int = 0,
    spill_over: bool = True,
    routing: RoutingMode = RoutingMode.SHARES,
    timeline: Sequence[TimelineEvent] = (),
    policy: ChangePolicy = REACTIVE,
    believed: Setting | None = None,
    planning_s: float | None = None,
) -> LiveRun:
    """Drive the traffic of `phases` into the simulated system, which starts with `plan`.

    With `options` the live loop runs beside it and changes plans by `policy`; without them the plan
    stays. The loop plans with the costs and links of `believed` where that is given, while the
    system runs on those of `setting`. A decision takes as much simulated time as it took on this
    machine's clock, or `planning_s` seconds if that is given, and a quarter of that where it is
    about new shares alone: then two calls with the same arguments give the same rows. Raises what
    `simulate` raises.
    """
    looks: list[Look] = []
    changes: list[Change] = []
    cost = _CpuTime()
    beside = None
    planning = _TimedPlanner(policy.decide, planning_s)
    if options is not None:
        period_s = options.period_s
        state = LoopState(plan=plan)
        replanner = Replanner(
            believed or setting,
            state,
            options.decision,
            policy,
            spill_over=spill_over,
            routing=routing,
            look_s=period_s,
        )

        async def beside(system: SimulatedSystem) -> None:
            await _replan(setting, system, replanner, planning, cost, period_s, looks, changes)

    rows = simulate_beside(
        setting, plan, phases, beside, seed=seed, spill_over=spill_over, routing=routing,
        timeline=timeline,
    )  # fmt: skip
    return LiveRun(rows, looks, changes, cost.spent_s)


SHARES_PART = 0.25
"""of the time of a decision about models, for one about new shares alone"""


class _CpuTime:
    """What this thread spends inside the context, over all times."""

    def __init__(self) -> None:
        self.spent_s = self._begun_s = 0.0

    def __enter__(self) -> None:
        self._begun_s = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.spent_s += time.thread_time() - self._begun_s


class _TimedPlanner:
    """A planner whose answers say how many seconds they took: by this machine's clock, or `fixed_s`
    for one about models."""

    def __init__(self, planner: Planner, fixed_s: float | None) -> None:
        self._planner = planner
        self._fixed_s = fixed_s

    def answer(self, question: DecisionQuestion) -> tuple[Decision | PlanningError, float]:
        """What the planner decides, and how long it took."""
        begun_s = time.perf_counter()
        outcome: Decision | PlanningError
        try:
            outcome = self._planner(question.ground, question.given)
        except PlanningError as error:
            outcome = error
        if self._fixed_s is None:
            return outcome, time.perf_counter() - begun_s
        return outcome, self._fixed_s * (SHARES_PART if question.given.shares_only else 1.0)


async def _replan(
    setting: Setting,
    system: SimulatedSystem,
    replanner: Replanner,
    planning: _TimedPlanner,
    cost: _CpuTime,
    period_s: float,
    looks: list[Look],
    changes: list[Change],
) -> None:
    """The loop of `serving.replan.loop`, on simulated nodes."""
    clock = asyncio.get_running_loop().time
    nodes = [node.name for node in system.topology.nodes]
    made: tuple[DecisionQuestion, Decision | PlanningError, float] | None = None
    """the decision about models that is under way, and when it is there"""

    async def follow(look: Look) -> None:
        looks.append(look)
        silent = frozenset(nodes) - serving_nodes(system.snapshots())
        if look.steps and must_answer(silent, look, system.topology):
            replanner.broken_off()
            return
        for step in look.steps:
            assert look.made is not None
            stated = replanner.setting_of(look.made.question.given)
            refuse_broken_budgets(stated.problem(look.phase), step)  # as `Fleet.apply` does
            begun_s = clock()
            try:
                change = await system.follow(step, setting.model_bytes, silent)
            except DeviceLostError:  # meanwhile; the change is undone as far as that goes
                replanner.broken_off()
                with suppress(DeviceLostError):
                    await system.follow(replanner.plan, setting.model_bytes)
                break
            replanner.adopted(step, change.version)
            changes.append(Change(look, step, begun_s + change.routed_s))

    next_s = clock() + period_s
    while True:
        while made is not None and made[2] < next_s:
            question, outcome, ready_s = made
            await asyncio.sleep(ready_s - clock())
            made = None
            await follow(replanner.decided(question, outcome, clock()))
        await asyncio.sleep(next_s - clock())
        next_s = clock() + period_s
        snapshots = system.snapshots()
        with cost:
            look = replanner.look(nodes, snapshots, clock(), clock())
        if look.question is None:
            looks.append(look)
            continue
        with cost:
            outcome, spent_s = planning.answer(look.question)
        if look.question.given.shares_only:
            await asyncio.sleep(spent_s)
            await follow(replanner.decided(look.question, outcome, clock()))
        else:
            looks.append(look)
            made = look.question, outcome, clock() + spent_s
