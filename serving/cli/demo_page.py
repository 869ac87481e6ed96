"""The page of the demo: the system while it runs, and afterwards its live half again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.demand import Phase
from planner.plan import Plan
from serving.cli.console import VerbOutput
from serving.cli.replayed_run import find_recording
from serving.cli.run_work import COMMAND
from serving.deploy.fleet import Fleet
from serving.setting.setting import Setting
from serving.watch.acts import NoActs
from serving.watch.facts import facts_of
from serving.watch.history import WatchHistory
from serving.watch.recording import RecordingWriter
from serving.watch.server import WatchServer
from serving.watch.serving_thread import sample_while_open, serve_beside
from serving.watch.source import LiveSource, Replay

__all__ = ["DemoPage"]

COMPARES = "the demo compares runs of the same traffic, which an act would spoil"
PLAYED = "this is a recording"


class DemoPage:
    """Costs nothing while nobody has it open. Raises `InputError` where the port is taken."""

    def __init__(self, out: VerbOutput, setting: Setting, fleet: Fleet, port: int | None) -> None:
        self._out = out
        self._setting = setting
        self._fleet = fleet
        self._source = LiveSource(WatchHistory(facts_of(setting), time.monotonic))
        self._server = WatchServer(self._source, NoActs(COMPARES), "demo, live", port or 0)
        self._writer: RecordingWriter | None = None

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve it for as long as the block runs, and say where it is."""
        self._out.say(f"watch it, if you like, at {self._server.address}")
        beside = [lambda: sample_while_open(self._fleet, self._source)]
        with serve_beside(self._server, beside):
            yield

    def planned(self, plan: Plan, phase: Phase) -> None:
        """A plan is in force for the load of a phase."""
        self._source.history.planned(plan, self._setting.problem(phase))

    def begin_recording(self, path: Path, plan: Plan, phase: Phase) -> WatchHistory:
        """From now on the page shows what is written into the file, too. Raises `OSError`."""
        facts = facts_of(self._setting)
        self._writer = RecordingWriter(path, facts, COMMAND.get())
        self._source.history = WatchHistory(facts, time.monotonic, self._writer)
        self._source.loop_state = lambda: "running"
        self.planned(plan, phase)
        return self._source.history

    def end_recording(self) -> None:
        """The file is whole."""
        self._source.loop_state = lambda: "none"
        if self._writer is not None:
            self._writer.close()

    def replay(self, folder: Path) -> None:
        """Show what was recorded at the same address, until Ctrl-C."""
        recorded, _ = find_recording(str(folder))
        ended = self._server
        server = WatchServer(
            Replay(recorded), NoActs(PLAYED), "demo, recorded", ended.port, ended.keys
        )
        self._out.say("the page stays open, until Ctrl-C, at")
        self._out.say(server.address)
        try:
            asyncio.run(server.run())
        except KeyboardInterrupt:
            self._out.say("the page is closed")
