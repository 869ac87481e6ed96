"""Verbs for looking: watch, a page, and top, the same in a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated

import typer

from cluster.errors import InputError
from cluster.providers import ray_driver
from planner.plan import Plan
from serving.cli.belonging import plan_in_force
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json, ReadOnly, RunName, WatchPort
from serving.cli.options import WEEK_S, NumberRange, number
from serving.cli.replayed_run import find_recording
from serving.cli.run_verbs import find_loop, running_fleet
from serving.cli.run_work import RunWork
from serving.cli.watched import begin_history, recorded_setting
from serving.runs.manifest import FileKind
from serving.setting.planned_load import load_of
from serving.watch.acts import READ_ONLY, NoActs, WatchActs
from serving.watch.frame import WatchFrame
from serving.watch.source import LiveSource, LoopState, Replay, WatchSource

__all__ = ["VERBS"]

PLAYED = "this is a recording"
FIRST_S = 2.0
"""of looks before one frame is shown"""
MOMENT_S = NumberRange("seconds", 0, WEEK_S)
SPEED = NumberRange("times", 1, 10)
ReplayName = Annotated[
    str | None, typer.Option("--replay", help="a run, a folder or a file with its recording")
]


def watch(
    replay: ReplayName = None,
    run: RunName = None,
    port: WatchPort = None,
    read_only: ReadOnly = False,
    as_json: Json = False,
) -> None:
    """Show the running system, or a recorded run, as a page.

    The address that is printed opens it, on this machine alone; Ctrl-C ends it. Attached to a
    cluster, nodes and links can be broken and mended from it; `testbed live --watch` shows the
    same page where the loop can be steered, too.
    """
    from serving.watch.server import WatchServer
    from serving.watch.serving_thread import serve_with

    out = VerbOutput(as_json)
    if replay is not None:
        recorded, title = find_recording(replay)
        shown = _Shown(Replay(recorded), NoActs(PLAYED), title)
    else:
        shown = _attach(out, run, acts=not read_only)
    server = WatchServer(shown.source, shown.acts, shown.title, port or 0)
    out.say("the page is open, until Ctrl-C, at")
    out.say(server.address)
    out.result({"address": server.address})
    try:
        asyncio.run(serve_with(server, shown.beside, shown.faults))
    except KeyboardInterrupt:
        out.say("the page is closed")
    if replay is None:
        ray_driver.disconnect()


def top(
    replay: ReplayName = None,
    run: RunName = None,
    once: Annotated[bool, typer.Option("--once", help="show one frame, and end")] = False,
    at: Annotated[
        float | None, number(MOMENT_S, help="of the recording to begin at; with --once its end")
    ] = None,
    speed: Annotated[float, number(SPEED, help="of the recording")] = 1.0,
    as_json: Json = False,
) -> None:
    """Show the running system, or a recorded run, in this terminal. Ctrl-C ends it.

    With --json one frame as an object.
    """
    out = VerbOutput(as_json)
    if replay is None and (at is not None or speed != 1.0):
        raise InputError("--at and --speed are about a recording; name it with --replay")
    if replay is not None:
        recorded, title = find_recording(replay)
        shown = _Shown(Replay(recorded), NoActs(PLAYED), title)
    else:
        shown = _attach(out, run, acts=False)
    try:
        asyncio.run(_show(out, shown, at, speed, once=once or as_json))
    except KeyboardInterrupt:
        out.say("")
    if replay is None:
        ray_driver.disconnect()


async def _show(
    out: VerbOutput, shown: _Shown, at_s: float | None, speed: float, *, once: bool
) -> None:
    """Write frames as they come, one over the other."""
    from serving.watch.terminal import terminal_frame

    running = [asyncio.ensure_future(each()) for each in shown.beside]
    try:
        if once:
            frame = await _one(shown.source, at_s)
            out.frame(terminal_frame(frame, shown.title))
            out.result(frame.model_dump(mode="json", exclude={"course"}))
            return
        with out.frames() as write:
            async for frame in shown.source.frames(at_s or 0.0, speed):
                write(terminal_frame(frame, shown.title))
    finally:
        for each in running:
            each.cancel()


async def _one(source: WatchSource, at_s: float | None) -> WatchFrame:
    """One frame; of a running system after two looks, between which there are rates."""
    if source.recorded is not None:
        return source.frame(at_s)
    frames = source.frames(0.0, 1.0)
    async for frame in frames:
        if frame.at_s >= FIRST_S and frame.nodes:
            break
    await frames.aclose()
    return source.frame()


@dataclass(frozen=True)
class _Shown:
    """What is shown, and what has to go on for that."""

    source: WatchSource
    acts: WatchActs
    title: str
    beside: tuple[Callable[[], Awaitable[None]], ...] = ()
    faults: AbstractAsyncContextManager[object] | None = None


def _attach(out: VerbOutput, run: str | None, *, acts: bool) -> _Shown:
    """The running cluster. Raises `ClusterError` where nothing is deployed, and `InputError` where
    the run has no profiles to read its figures with."""
    from serving.cli.live_page import faults_of
    from serving.watch.attached import DecisionTail, follow_decisions, follow_plans
    from serving.watch.live_acts import LiveActs
    from serving.watch.serving_thread import sample_while_open

    work = RunWork(out, run)
    state = ray_driver.connect()
    fleet = running_fleet(state)
    now = plan_in_force(fleet)
    setting = recorded_setting(work, state.topology)
    if setting is None:
        raise InputError(
            "--run: figures are read with the profiles of the run that is served, and this one "
            "has none for this cluster; `testbed runs` lists runs"
        )
    history = begin_history(setting, now.plan, None)

    def loop_state() -> LoopState:
        return "none" if find_loop() is None else "running"

    def in_force() -> Plan | None:
        found = fleet.in_force()
        return None if found is None else found.plan

    def tell(plan: Plan) -> None:
        load = load_of(plan)
        if load is not None and plan.version != now.plan.version:
            history.planned(plan, setting.with_deadlines(plan.deadlines_s).problem(load))

    source = LiveSource(history, loop_state)
    beside: list[Callable[[], Awaitable[None]]] = [
        lambda: sample_while_open(fleet, source),
        lambda: follow_plans(history, in_force, tell),
    ]
    if work.run is not None:
        tail = DecisionTail(work.run.path(FileKind.DECISIONS))
        beside.append(lambda: follow_decisions(tail, history))
    faults = faults_of(fleet, state) if acts else None
    may = NoActs(READ_ONLY) if faults is None else LiveActs(history, faults)
    return _Shown(source, may, f"{state.topology.name}, live", tuple(beside), faults)


VERBS = (watch, top)
