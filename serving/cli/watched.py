"""What verbs keep of a system while it serves, so that `testbed watch` can show it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import InputError
from cluster.timeline import TimelineEvent
from cluster.topology import Topology
from planner.plan import Plan
from serving.cli.inputs import load_setting
from serving.cli.run_work import COMMAND, RunWork
from serving.errors import OutputError
from serving.node.links.link_condition import LinkCondition
from serving.runs.manifest import FileKind
from serving.setting.planned_load import load_of
from serving.setting.setting import Setting
from serving.watch.facts import facts_of
from serving.watch.history import WatchHistory
from serving.watch.recording import RecordingWriter
from serving.watch.watched_loop import SampledFleet, sample_nodes

__all__ = [
    "begin_history",
    "event_teller",
    "recorded_beside",
    "recorded_setting",
    "recording",
]


SAMPLES_S = 1.0
"""between two looks at the nodes for a recording"""


def recorded_setting(work: RunWork, topology: Topology) -> Setting | None:
    """What a recording's figures are worked out with: the profiles of the run, where it has any
    that are of `topology` and still hold. Nothing is made from them, so nothing is noted."""
    if work.run is None or not work.has(FileKind.PROFILES):
        return None
    try:
        return load_setting(topology, work.run.checked(FileKind.PROFILES))
    except InputError as error:
        work.out.say(f"no recording for `testbed watch` is made: {error}")
        return None


def begin_history(setting: Setting, plan: Plan, writer: RecordingWriter | None) -> WatchHistory:
    """The history of a system in which `plan` is in force."""
    history = WatchHistory(facts_of(setting), time.monotonic, writer)
    load = load_of(plan)
    if load is not None:
        history.planned(plan, setting.with_deadlines(plan.deadlines_s).problem(load))
    return history


def event_teller(history: WatchHistory) -> Callable[[TimelineEvent, float], None]:
    """What a timeline calls with each event that it has brought about."""

    def tell(event: TimelineEvent, _: float) -> None:
        condition = ""
        if event.link is not None and event.restore_link is None:
            slowed = event.slow_link
            share = 1.0 / slowed.factor if slowed else 0.0 if event.cut_link else 1.0
            condition = str(LinkCondition(share, silent=event.silence_link is not None))
        told = str(event).partition(" at ")[0]
        history.happened(
            told, link=" to ".join(event.link) if event.link else "", condition=condition
        )

    return tell


def recorded_beside(
    fleet: SampledFleet,
    history: WatchHistory | None,
    events: Callable[[], Awaitable[None]] | None,
) -> Callable[[], Awaitable[None]] | None:
    """What runs beside traffic: its `events`, and looks at the nodes that `history` hears of; None
    where there is neither."""
    if history is None:
        return events

    async def beside() -> None:
        history.traffic_begins()
        looks = sample_nodes(fleet, history, SAMPLES_S)
        await asyncio.gather(looks, *(() if events is None else (events(),)))

    return beside


@contextmanager
def recording(
    work: RunWork, kind: FileKind, setting: Setting, plan: Plan
) -> Iterator[WatchHistory]:
    """A history that is written into the run as a file of `kind`.

    Raises `OutputError` where the file cannot be begun.
    """
    path: Path = work.path(kind)
    try:
        writer = RecordingWriter(path, facts_of(setting), COMMAND.get())
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from None
    try:
        yield begin_history(setting, plan, writer)
    finally:
        writer.close()
        work.wrote(kind)
