"""A run in simulated time with the live loop beside it, estimates and decisions as live."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from cluster.demand import Phase
from planner.plan import Plan
from serving.replan.decision import decide
from serving.replan.loop_state import LoopState
from serving.replan.options import ReplanOptions
from serving.replan.replanner import Look, Planner, Replanner
from serving.setting.query_sizes import query_bytes_of
from serving.setting.setting import Setting
from serving.simulation.simulated_device import profiled_latency
from serving.simulation.simulated_system import SimulatedSystem
from serving.simulation.virtual_time import run_in_virtual_time
from serving.system import Outcome
from serving.traffic.driver import Record, drive
from serving.traffic.schedule import Schedule, build_schedule

__all__ = ["LiveRun", "simulate_live"]

IMAGES = 240
PLANNING_S = 0.5
"""that a decision takes, in simulated time"""
FIRST_VERSION = 1


@dataclass(frozen=True)
class LiveRun:
    """What came back, and what the loop did."""

    schedule: Schedule
    records: list[Record]
    """scored by the models' cards; nothing is computed on pictures"""
    looks: list[Look]
    """empty without a loop"""

    @property
    def accuracy(self) -> float:
        """Score per query sent; what was refused scores 0 (F1)."""
        return sum(record.score for record in self.records) / max(len(self.records), 1)

    @property
    def answered_share(self) -> float:
        """Answered queries per query sent."""
        answered = sum(record.answer.outcome is Outcome.ANSWERED for record in self.records)
        return answered / max(len(self.records), 1)

    @property
    def changes(self) -> list[Look]:
        """The looks that led to another plan."""
        return [look for look in self.looks if look.change_to is not None]

    @property
    def models_moved(self) -> int:
        """Models that were loaded over the run, on all nodes."""
        decided = [look.made.decision for look in self.changes if look.made is not None]
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
    planner: Planner = decide,
) -> LiveRun:
    """Drive the traffic of `phases` into the simulated system, which starts with `plan`.

    With `options` the live loop runs beside it; without them the plan stays. Two calls with the
    same arguments give the same rows. Raises `ValueError` for phases with callers who wait.
    """
    schedule = build_schedule(phases, seed, IMAGES)
    system = SimulatedSystem(
        setting.topology,
        plan,
        profiled_latency(setting.profiles),
        query_bytes_of(setting.cards),
        version=FIRST_VERSION,
        spill_over=spill_over,
        accuracy=setting.accuracy,
        load_s=lambda node, model: _load_s(setting, node, model),
    )
    replanner = None
    if options is not None:
        state = LoopState(plan=plan.model_copy(update={"version": FIRST_VERSION}))
        replanner = Replanner(setting, state, options.decision, planner, spill_over=spill_over)
    period_s = 0.0 if options is None else options.period_s
    return run_in_virtual_time(_run(setting, system, schedule, replanner, period_s))


async def _run(
    setting: Setting,
    system: SimulatedSystem,
    schedule: Schedule,
    replanner: Replanner | None,
    period_s: float,
) -> LiveRun:
    loop = asyncio.get_running_loop()
    looks: list[Look] = []
    companion = None
    if replanner is not None:
        companion = asyncio.ensure_future(_replan(setting, system, replanner, period_s, looks))
    records = await drive(
        system,
        schedule,
        [b""] * IMAGES,
        clock=loop.time,
        sleep=asyncio.sleep,
        max_outstanding=max(len(schedule), 1),
    )
    if companion is not None:
        if companion.done():
            companion.result()  # which raises: the loop has no other end
        companion.cancel()
        with suppress(asyncio.CancelledError):
            await companion
    return LiveRun(schedule, [_scored(setting, schedule, record) for record in records], looks)


async def _replan(
    setting: Setting,
    system: SimulatedSystem,
    replanner: Replanner,
    period_s: float,
    looks: list[Look],
) -> None:
    """The loop of `serving.replan.loop`, on simulated nodes."""
    clock = asyncio.get_running_loop().time
    nodes = [node.name for node in system.topology.nodes]
    while True:
        await asyncio.sleep(period_s)
        look = replanner.look(nodes, system.snapshots(), clock(), clock())
        looks.append(look)
        if look.made is not None:
            await asyncio.sleep(PLANNING_S)
        if look.change_to is not None:
            change = await system.follow(look.change_to, setting.model_bytes)
            replanner.adopted(look.change_to, change.version)


def _load_s(setting: Setting, node: str, model: str) -> float:
    profile = setting.profiles.find(node, model)
    return 0.0 if profile is None else profile.load_s


def _scored(setting: Setting, schedule: Schedule, record: Record) -> Record:
    if record.answer.outcome is not Outcome.ANSWERED:
        return record
    task = schedule.tasks[schedule.task_q[record.index]]
    return replace(record, score=setting.accuracy[record.answer.model].get(task, 0.0))
