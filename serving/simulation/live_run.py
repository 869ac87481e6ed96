"""A run in simulated time with the live loop beside it, estimates and decisions as live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from cluster.demand import Phase
from cluster.timeline import TimelineEvent
from models.runtime.device_errors import DeviceLostError
from planner.plan import Plan
from serving.replan.change_policy import REACTIVE, ChangePolicy, Planner
from serving.replan.decision import Decision
from serving.replan.decision_input import DecisionInput, Ground
from serving.replan.loop_state import LoopState
from serving.replan.options import ReplanOptions
from serving.replan.replanner import Look, Replanner, must_answer, serving_nodes
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate_beside
from serving.simulation.simulated_system import SimulatedSystem
from serving.traffic.measurement import Measurements

__all__ = ["Change", "LiveRun", "TimedPlanner", "simulate_live"]


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
    decisions_s: list[float]
    """simulated time that each decision took"""
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
    machine's clock, or `planning_s` seconds if that is given: then two calls with the same
    arguments give the same rows. Raises what `simulate` raises.
    """
    looks: list[Look] = []
    changes: list[Change] = []
    cost = _CpuTime()
    beside = None
    planning = TimedPlanner(policy.decide, planning_s)
    if options is not None:
        period_s = options.period_s
        state = LoopState(plan=plan)
        replanner = Replanner(
            believed or setting,
            state,
            options.decision,
            replace(policy, decide=planning),
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
    return LiveRun(rows, looks, changes, planning.spent_s, cost.spent_s)


class _CpuTime:
    """What this thread spends inside the context, over all times."""

    def __init__(self) -> None:
        self.spent_s = self._begun_s = 0.0

    def __enter__(self) -> None:
        self._begun_s = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.spent_s += time.thread_time() - self._begun_s


class TimedPlanner:
    """A planner, and in `spent_s` how long each of its decisions took: by this machine's clock, or
    `fixed_s` for all of them."""

    def __init__(self, planner: Planner, fixed_s: float | None) -> None:
        self._planner = planner
        self._fixed_s = fixed_s
        self.spent_s: list[float] = []

    def __call__(self, ground: Ground, given: DecisionInput) -> Decision:
        """What the planner decides; raises what that raises."""
        begun_s = time.perf_counter()
        try:
            return self._planner(ground, given)
        finally:
            spent_s = time.perf_counter() - begun_s
            self.spent_s.append(spent_s if self._fixed_s is None else self._fixed_s)


async def _replan(
    setting: Setting,
    system: SimulatedSystem,
    replanner: Replanner,
    planning: TimedPlanner,
    cost: _CpuTime,
    period_s: float,
    looks: list[Look],
    changes: list[Change],
) -> None:
    """The loop of `serving.replan.loop`, on simulated nodes."""
    clock = asyncio.get_running_loop().time
    nodes = [node.name for node in system.topology.nodes]
    while True:
        await asyncio.sleep(period_s)
        snapshots = system.snapshots()
        with cost:
            look = replanner.look(nodes, snapshots, clock(), clock())
        looks.append(look)
        if look.made is not None:
            await asyncio.sleep(planning.spent_s[-1])
        silent = frozenset(nodes) - serving_nodes(system.snapshots())
        if look.steps and must_answer(silent, look, system.topology):
            replanner.broken_off()
            continue
        for step in look.steps:
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
