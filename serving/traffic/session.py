"""One run of traffic against the live system: schedule in, scored measurements out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.provenance import collect_provenance
from planner.plan import Plan
from serving.blocking import run_blocking
from serving.traffic.driver import Driven, Record, drive_traffic
from serving.traffic.images import LabelledImages
from serving.traffic.live_system import HttpSystem
from serving.traffic.load_switch import LoadSwitch
from serving.traffic.measurement import Measurements, build_measurements
from serving.traffic.run_use import host_use, read_host_times, use_between
from serving.traffic.schedule import Schedule
from serving.traffic.scoring import score_records
from serving.traffic.sent import windows_by_client

if TYPE_CHECKING:  # its records are made without Ray
    from serving.deploy.fleet import Fleet

__all__ = ["Run", "run_traffic"]

Progress = Callable[[int, int], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What a run left: its rows, and the scored records with their predictions."""

    measurements: Measurements
    schedule: Schedule
    """what was sent; with what callers asked who wait for their answers"""
    records: list[Record]
    """one a query of `schedule`"""
    beside_fault: str = ""
    """why what ran beside the traffic ended before it; empty if it did not"""


def run_traffic(
    fleet: Fleet,
    plan: Plan,
    schedule: Schedule,
    images: LabelledImages,
    *,
    command: str,
    seed: int,
    on_progress: Progress | None = None,
    beside: Callable[[], Awaitable[None]] | None = None,
    trace_share: float = 0.0,
    load: LoadSwitch | None = None,
) -> Run:
    """Drive `schedule` at the fleet's doors, then score.

    `plan` is the one in force at the start. What was recorded of links begins with the traffic.
    `beside`, if given, runs on the same loop while traffic flows (the live controller) and is
    cancelled when it ends. A share `trace_share` of the requests asks for its way to be traced.
    `load` as of `drive_traffic`.
    """
    fleet.begin_link_traces()
    before, host_before = fleet.snapshots(), read_host_times()
    driven, fault = run_blocking(
        _drive(fleet, schedule, images, on_progress, beside, trace_share, load)
    )
    host = host_use(host_before, read_host_times())
    after = fleet.snapshots()
    scored = score_records(driven.schedule, driven.records, images.labels)
    measurements = build_measurements(
        driven.schedule,
        scored,
        policy=plan.policy,
        plan_digest=plan.digest,
        profiles_digest=plan.profiles_digest,
        plan_version=max(snapshot.plan_version for snapshot in before.values()),
        use=use_between(before, after, host),
        windows_s=windows_by_client(fleet.topology),
        deadlines_s=plan.deadlines_s,
        provenance=collect_provenance(command, seed=seed, packages=("torch", "ray", "aiohttp")),
    )
    return Run(measurements, driven.schedule, scored, fault)


async def _drive(
    fleet: Fleet,
    schedule: Schedule,
    images: LabelledImages,
    on_progress: Progress | None,
    beside: Callable[[], Awaitable[None]] | None,
    trace_share: float,
    load: LoadSwitch | None,
) -> tuple[Driven, str]:
    urls, token = await asyncio.to_thread(lambda: (fleet.urls(), fleet.door_token()))
    async with HttpSystem(urls, token=token, trace_share=trace_share) as system:
        companion = asyncio.ensure_future(beside()) if beside is not None else None
        fault = ""
        try:
            driven = await drive_traffic(
                system, schedule, images.bodies, on_progress=on_progress, load=load
            )
        finally:
            if companion is not None:
                fault = await _finish(companion)
        return driven, fault


async def _finish(companion: asyncio.Future[None]) -> str:
    """Stop what runs beside the traffic; what it ended with, which must not cost the records."""
    companion.cancel()
    try:
        await companion
    except asyncio.CancelledError:
        return ""
    except Exception as error:  # noqa: BLE001 - whatever it was, the run has its records
        _log.exception("what ran beside the traffic ended before it")
        return f"{type(error).__name__}: {error}"
    return ""
