"""Where frames come from: a system that runs, or one that was recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from serving.watch.build import frame_at
from serving.watch.course import course_of, course_until, steps_of
from serving.watch.facts import WatchFacts
from serving.watch.frame import Course, WatchFrame
from serving.watch.history import WatchHistory
from serving.watch.recorded import Recorded

__all__ = ["LiveSource", "LoopState", "Replay", "WatchSource"]

FRAME_S = 0.4
"""between two frames of a replay"""
COURSE_S = 120.0
"""that the charts of a running system go back"""
LoopState = Literal["none", "running", "paused"]


class WatchSource(Protocol):
    """Frames for however many pages look."""

    @property
    def facts(self) -> WatchFacts:
        """What stays."""
        ...

    @property
    def recorded(self) -> Recorded | None:
        """The recording that is replayed; None of a running system."""
        ...

    def frame(self, at_s: float | None = None) -> WatchFrame:
        """The frame of a moment; of a running system, of now."""
        ...

    def frames(self, from_s: float, speed: float) -> AsyncGenerator[WatchFrame, None]:
        """Frames as time goes on: from `from_s`, `speed` times as fast, to the end of a recording;
        of a running system from now, whenever there is more to show."""
        ...

    def held_most(self) -> dict[str, int]:
        """Node -> the most models that it is known to have held at once."""
        ...


@dataclass
class Replay:
    """A recording."""

    recorded: Recorded
    _whole: Course = field(init=False)

    def __post_init__(self) -> None:
        steps = steps_of(self.recorded.facts, self.recorded.samples)
        self._whole = course_of(self.recorded, steps, 0.0, self.recorded.end_s)

    @property
    def facts(self) -> WatchFacts:
        """See `WatchSource`."""
        return self.recorded.facts

    def frame(self, at_s: float | None = None) -> WatchFrame:
        """See `WatchSource`; by default the end."""
        end_s = self.recorded.end_s
        at_s = end_s if at_s is None else min(at_s, end_s)
        return frame_at(self.recorded, course_until(self._whole, at_s), at_s)

    async def frames(self, from_s: float, speed: float) -> AsyncGenerator[WatchFrame, None]:
        """See `WatchSource`."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        while True:
            at_s = min(from_s + speed * (loop.time() - begun_s), self.recorded.end_s)
            yield self.frame(at_s)
            if at_s >= self.recorded.end_s:
                return
            await asyncio.sleep(FRAME_S)

    def held_most(self) -> dict[str, int]:
        """See `WatchSource`."""
        found: dict[str, int] = {}
        for sample in self.recorded.samples:
            for name, seen in sample.nodes.items():
                found[name] = max(found.get(name, 0), len(seen.models))
        return found


@dataclass
class LiveSource:
    """A system that runs, as a history hears of it. `loop_state` says whether plans change."""

    history: WatchHistory
    loop_state: Callable[[], LoopState] = lambda: "none"
    open_pages: int = 0
    """that wait for frames now; who samples may stop while there are none"""
    recorded: Recorded | None = None

    @property
    def facts(self) -> WatchFacts:
        """See `WatchSource`."""
        return self.history.facts

    def frame(self, at_s: float | None = None) -> WatchFrame:
        """See `WatchSource`."""
        recorded, steps = self.history.recorded()
        now_s = self.history.now_s
        course = course_of(recorded, steps, max(0.0, now_s - COURSE_S), now_s)
        frame = frame_at(recorded, course, now_s, live=True)
        return frame.model_copy(update={"loop": self.loop_state()})

    async def frames(self, from_s: float, speed: float) -> AsyncGenerator[WatchFrame, None]:
        """See `WatchSource`."""
        self.open_pages += 1
        try:
            shown = -1
            while True:
                version = await asyncio.to_thread(self._wait_beyond, shown)
                shown = version
                yield self.frame()
        finally:
            self.open_pages -= 1

    def held_most(self) -> dict[str, int]:
        """See `WatchSource`."""
        recorded, _ = self.history.recorded()
        held = [entry.plan.onloading for entry in recorded.plans]
        found: dict[str, int] = {}
        for onloading in held:
            for name, models in onloading.items():
                found[name] = max(found.get(name, 0), len(models))
        return found

    def _wait_beyond(self, version: int) -> int:
        """Wait until the history has more than `version`, or a second has passed."""
        with self.history.changed:
            self.history.changed.wait_for(lambda: self.history.version > version, timeout=1.0)
            return self.history.version
