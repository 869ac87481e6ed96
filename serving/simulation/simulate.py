"""A whole run without devices: traffic against the simulated system, as measurements."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from cluster.demand import Phase
from cluster.errors import InputError
from cluster.provenance import collect_provenance
from cluster.timeline import TimelineEvent, check_timeline
from planner.plan import Plan
from serving.setting.query_sizes import query_bytes_of
from serving.setting.setting import Setting
from serving.simulation.simulated_device import profiled_latency
from serving.simulation.simulated_faults import SimulatedFaults
from serving.simulation.simulated_system import SimulatedSystem
from serving.simulation.virtual_time import run_in_virtual_time
from serving.system import Outcome
from serving.traffic.driver import Driven, Record, drive_traffic
from serving.traffic.faults import fire_timeline, refuse_unsupported
from serving.traffic.measurement import Measurements, bounds_by_tier, build_measurements
from serving.traffic.schedule import Schedule, build_schedule
from serving.traffic.sent import windows_by_client

__all__ = ["simulate"]

IMAGES = 240
"""As many as `testbed drive` asks about. They have numbers only; nothing is drawn."""


def simulate(
    setting: Setting,
    plan: Plan,
    phases: Sequence[Phase],
    *,
    seed: int = 0,
    shared_passes: bool = True,
    spill_over: bool = True,
    timeline: Sequence[TimelineEvent] = (),
) -> Measurements:
    """What a run of `phases` under `plan` would measure, without a cluster and in simulated time.

    Routing, batching, admission and links are those of the running system; a batch takes what
    `setting.profiles` measured (F15). Queries arrive as with `testbed drive --seed`. Nothing is
    computed on pictures: an answered query scores a_mt, the accuracy of its model's card. Two
    calls with the same arguments give the same rows.

    Raises `ProblemError` for a client or task of `phases` that the setting lacks, `ValueError` for
    a route of `plan` by a model without card or without profile on its node, and `InputError` for
    an event of `timeline` that names nobody, or that a `SimulatedSystem` cannot bring about.
    """
    check_timeline(timeline, setting.topology)
    refuse_unsupported(timeline, SimulatedFaults.supported, "the simulator")
    for phase in phases:
        setting.problem(phase)
    _check_routes(setting, plan)
    schedule = build_schedule(phases, seed, IMAGES, timeline=timeline)
    system = SimulatedSystem(
        setting.topology,
        plan,
        profiled_latency(setting.profiles),
        query_bytes_of(setting.cards),
        version=plan.version,
        shared_passes=shared_passes,
        spill_over=spill_over,
        accuracy=setting.accuracy,
    )
    driven = run_in_virtual_time(_drive(system, schedule, timeline))
    return build_measurements(
        driven.schedule,
        _score_by_cards(setting, driven.schedule, driven.records),
        policy=plan.policy,
        plan_version=plan.version,
        provenance=collect_provenance("testbed.simulate", seed=seed),
        bounds_s=bounds_by_tier(driven.records),
        windows_s=windows_by_client(setting.topology),
        busy_s={
            node.name: sum(batch.spent_s for batch in system.batches(node.name))
            for node in setting.topology.nodes
        },
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
    system: SimulatedSystem, schedule: Schedule, timeline: Sequence[TimelineEvent]
) -> Driven:
    loop = asyncio.get_running_loop()
    faults = asyncio.create_task(
        fire_timeline(timeline, SimulatedFaults(system), clock=loop.time, sleep=asyncio.sleep)
    )
    try:
        return await drive_traffic(
            system,
            schedule,
            [b""] * IMAGES,
            clock=loop.time,
            sleep=asyncio.sleep,
            # A simulated generator is never too slow, so it has no reason to hold queries back.
            max_outstanding=len(schedule) + sum(len(each.callers) for each in schedule.callers) + 1,
        )
    finally:
        faults.cancel()
        with suppress(asyncio.CancelledError):
            await faults  # what went wrong with an event is raised here


def _score_by_cards(
    setting: Setting, schedule: Schedule, records: Sequence[Record]
) -> list[Record]:
    cards = {card.name: card for card in setting.cards}
    return [
        replace(
            record,
            score=cards[record.answer.model].accuracy(
                schedule.tasks[schedule.task_q[record.index]]
            ),
        )
        if record.answer.outcome is Outcome.ANSWERED
        else record
        for record in records
    ]
