"""A whole run without devices: traffic against the simulated system, as measurements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from cluster.demand import Phase
from cluster.errors import InputError
from cluster.provenance import collect_provenance
from cluster.timeline import TimelineEvent, check_timeline
from planner.plan import Plan
from profiling.shared_hosts import shared_hosts
from serving.rollout.ways_in_time import InTime, ways_in_time
from serving.routing.routes import RoutingMode
from serving.setting.query_sizes import query_bytes_of
from serving.setting.setting import Setting
from serving.simulation.drawn_scatter import drawn_batches, drawn_door_s
from serving.simulation.loop_clock import LoopClock
from serving.simulation.simulated_device import profiled_latency
from serving.simulation.simulated_faults import SimulatedFaults
from serving.simulation.simulated_system import SimulatedSystem
from serving.simulation.virtual_time import rare_garbage_collection, run_in_virtual_time
from serving.system import SharingSystem
from serving.traffic.crowding import door_slowdown
from serving.traffic.driver import Driven, drive_traffic
from serving.traffic.faults import fire_timeline, refuse_unsupported
from serving.traffic.measurement import SIMULATED, Measurements, build_measurements
from serving.traffic.run_use import RunUse, use_between
from serving.traffic.schedule import Schedule, build_schedule
from serving.traffic.sent import windows_by_client

__all__ = [
    "IMAGES", "Beside", "drive_simulated", "simulate", "simulate_beside", "simulate_schedule",
    "system_of",
]  # fmt: skip

IMAGES = 240
"""As many as `testbed drive` asks about. They have numbers only; nothing is drawn."""

HOPS = {"client": 0, "edge": 1, "cloud": 2}
"""links that an answer of a tier has crossed"""

Beside = Callable[[SimulatedSystem], Coroutine[Any, Any, None]]
"""what runs beside the traffic until that ends, such as a loop that changes the plan"""


def simulate(
    setting: Setting,
    plan: Plan,
    phases: Sequence[Phase],
    *,
    seed: int = 0,
    shared_passes: bool = True,
    spill_over: bool = True,
    routing: RoutingMode = RoutingMode.SHARES,
    timeline: Sequence[TimelineEvent] = (),
) -> Measurements:
    """What a run of `phases` under `plan` would measure, without a cluster and in simulated time.

    The nodes' code is that of the running system; a batch takes what `setting.profiles` measured
    (F15), and scatters around that as the last calibration saw it. Queries arrive as with
    `testbed drive --seed`. Nothing is computed on pictures: an answered query scores a_mt, the
    accuracy of its model's card. Two calls with the same arguments give the same rows.

    Raises `ProblemError` for a client or task of `phases` that the setting lacks, and `InputError`
    for a route of `plan` by a model without card or without profile on its node, or an event of
    `timeline` that names nobody or that a `SimulatedSystem` cannot bring about.
    """
    return simulate_beside(
        setting, plan, phases, None, seed=seed, shared_passes=shared_passes,
        spill_over=spill_over, routing=routing, timeline=timeline,
    )  # fmt: skip


def simulate_beside(
    setting: Setting,
    plan: Plan,
    phases: Sequence[Phase],
    beside: Beside | None,
    *,
    seed: int = 0,
    shared_passes: bool = True,
    spill_over: bool = True,
    routing: RoutingMode = RoutingMode.SHARES,
    timeline: Sequence[TimelineEvent] = (),
) -> Measurements:
    """The same with something that runs `beside` the traffic; raises what that raises."""
    if seed < 0:
        raise InputError(f"seed: expected 0 or more, got {seed}")
    for phase in phases:
        setting.problem(phase)
    schedule = build_schedule(phases, seed, IMAGES, timeline=timeline)
    return simulate_schedule(
        setting, plan, schedule, beside, seed=seed, shared_passes=shared_passes,
        spill_over=spill_over, routing=routing, timeline=timeline,
    )  # fmt: skip


def simulate_schedule(
    setting: Setting,
    plan: Plan,
    schedule: Schedule,
    beside: Beside | None = None,
    *,
    seed: int | None = None,
    shared_passes: bool = True,
    spill_over: bool = True,
    routing: RoutingMode = RoutingMode.SHARES,
    timeline: Sequence[TimelineEvent] = (),
) -> Measurements:
    """The same for queries that are given, such as those of a run that is replayed
    (`schedule_of`). `seed` is what they were drawn with, if they were. Raises `InputError` for a
    client or task that the setting lacks, too."""
    check_timeline(timeline, setting.topology)
    refuse_unsupported(timeline, SimulatedFaults.supported, "the simulator")
    _check_names(setting, schedule)
    system = system_of(
        setting, plan, shared_passes=shared_passes, spill_over=spill_over, routing=routing,
        seed=seed or 0,
    )  # fmt: skip
    # Not as soon as the traffic has ended: it would go through the records, of which only columns
    # are kept.
    with rare_garbage_collection():
        driven, use = run_in_virtual_time(_drive(system, schedule, timeline, beside))
        rows = build_measurements(
            driven.schedule,
            driven.records,
            policy=plan.policy,
            plan_digest=plan.digest,
            profiles_digest=plan.profiles_digest,
            plan_version=plan.version,
            provenance=collect_provenance(SIMULATED, seed=seed),
            windows_s=windows_by_client(setting.topology),
            deadlines_s=plan.deadlines_s,
            use=use,
        )
        del driven
    return _scored(setting, rows, seed or 0)


def system_of(
    setting: Setting,
    plan: Plan,
    *,
    shared_passes: bool = True,
    spill_over: bool = True,
    routing: RoutingMode = RoutingMode.SHARES,
    seed: int = 0,
) -> SimulatedSystem:
    """The system of `setting` under `plan`, simulated; batches scatter by `seed`. Raises
    `InputError` for a route of `plan` by a model without card or without profile on its node."""
    _check_routes(setting, plan)
    if routing not in list(RoutingMode):
        modes = ", ".join(RoutingMode)
        raise InputError(f"routing: there is no {routing!r}; one of {modes}")
    return SimulatedSystem(
        setting.topology,
        plan,
        profiled_latency(setting.profiles),
        query_bytes_of(setting.cards),
        version=plan.version,
        shared_passes=shared_passes,
        spill_over=spill_over,
        routing=RoutingMode(routing),
        accuracy=setting.accuracy,
        load_s=setting.load_s,
        straight_s=profiled_latency(setting.profiles, straight=True),
        scatter=drawn_batches(setting.profiles, seed),
        hosts=shared_hosts(setting.profiles),
        door_s=way.door_s if (way := setting.profiles.way) else 0.0,
        in_time=_in_time(setting),
    )


def _in_time(setting: Setting) -> InTime | None:
    if not setting.deadlines_s:
        return None
    return ways_in_time(setting.problem(Phase(duration_s=1.0, rates_qps={})))


def _use_of(system: SimulatedSystem) -> RunUse:
    """Devices as their logs say: a node that was killed has no counters of before."""
    counted = use_between({}, system.snapshots())
    spent_s = {
        node.name: sum(batch.spent_s for batch in system.batches(node.name))
        for node in system.topology.nodes
    }
    return replace(counted, busy_s=spent_s, wall_s=spent_s)


def _check_names(setting: Setting, schedule: Schedule) -> None:
    known = {*(node.name for node in setting.topology.clients), *setting.tasks}
    strange = sorted({*schedule.clients, *schedule.tasks} - known)
    if strange:
        raise InputError(
            f"the queries name {strange[0]!r}, which is no client and no task of "
            f"{setting.topology.name!r}; give the topology and the profiles that they belong to"
        )


def _check_routes(setting: Setting, plan: Plan) -> None:
    carded = {card.name for card in setting.cards}
    for position, route in enumerate(plan.routes):
        where = f"routes.{position}: {route.model!r}"
        if route.model not in carded:
            raise InputError(f"{where} has no card in the setting")
        if setting.profiles.find(route.node, route.model) is None:
            raise InputError(f"{where} was not profiled on {route.node!r}")


async def _drive(
    system: SimulatedSystem,
    schedule: Schedule,
    timeline: Sequence[TimelineEvent],
    beside: Beside | None,
) -> tuple[Driven, RunUse]:
    driven = await drive_simulated(system, schedule, timeline, beside)
    return driven, _use_of(system)


async def drive_simulated(
    system: SimulatedSystem,
    schedule: Schedule,
    timeline: Sequence[TimelineEvent] = (),
    beside: Beside | None = None,
    door: SharingSystem | None = None,
) -> Driven:
    """Send `schedule` into `system`, or to the `door` before it, with what happens meanwhile."""
    loop = asyncio.get_running_loop()
    companions: list[asyncio.Future[None]] = []
    if beside is not None:
        companions.append(asyncio.ensure_future(beside(system)))
    loops = tuple(companions)
    injector = SimulatedFaults(system, kill_loop=lambda: [each.cancel() for each in loops])
    faults = fire_timeline(timeline, injector, clock=loop.time, sleep=asyncio.sleep)
    companions.append(asyncio.ensure_future(faults))
    try:
        return await drive_traffic(
            door or system,
            schedule,
            [b""] * (schedule.last_image + 1),
            clock=LoopClock(),
            # A simulated generator is never too slow, so it has no reason to hold queries back.
            max_outstanding=len(schedule) + sum(len(each.callers) for each in schedule.callers) + 1,
        )
    finally:
        for companion in companions:
            companion.cancel()
            with suppress(asyncio.CancelledError):
                await companion  # what went wrong there is raised here


def _scored(setting: Setting, rows: Measurements, seed: int) -> Measurements:
    """`rows` with what a_mt says of each answer, and the time that it takes beside the nodes, which
    scatters by `seed`."""
    accuracy, way = setting.accuracy, setting.profiles.way
    score_q = np.zeros(len(rows))
    done_s_q = rows.done_s.copy()
    answered_q = np.flatnonzero(rows.answered)
    model_q, task_q = rows.model[answered_q].tolist(), rows.task[answered_q].tolist()
    score_q[answered_q] = [
        accuracy[model].get(task, 0.0) for model, task in zip(model_q, task_q, strict=True)
    ]
    if way is not None:
        hops_q = np.array([HOPS[tier] for tier in rows.tier[answered_q].tolist()])
        beside_s_q = drawn_door_s(way, rows.client, seed)
        beside_s_q[answered_q] += hops_q * way.hop_s
        beside_s_q *= door_slowdown(rows, shared_hosts(setting.profiles), way.door_s)
        done_s_q[answered_q] += beside_s_q[answered_q]
    return replace(rows, score=score_q, done_s=done_s_q)
