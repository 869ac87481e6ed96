"""What a running system has shown so far: kept for the page, and written into a recording.

The live loop, its log and its fleet tell it from the threads they run on; the page reads it from
another one. What it cannot work out or write must cost none of them: that is logged.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from planner.plan import Plan
from planner.problem import Problem
from serving.node.snapshot import NodeSnapshot
from serving.replan.decision_log import ChangeLine, DecisionLine
from serving.watch.course import CourseStep, step_between
from serving.watch.decision_shown import DecisionShown, decision_shown, with_change
from serving.watch.facts import WatchFacts
from serving.watch.plan_shown import PlanShown, plan_shown
from serving.watch.recorded import PlanSince, Recorded, WatchEvent
from serving.watch.recording import RecordingWriter
from serving.watch.sample import SystemSample, carried_on, sample_of

__all__ = ["KEPT_S", "WatchHistory"]

KEPT_S = 180.0
"""of samples, for the page"""
MOST_SAMPLES = 900
MOST_OTHERS = 200
_log = logging.getLogger(__name__)


@dataclass
class WatchHistory:
    """Grows to a bound, and says to whoever waits when there is more. `clock` is monotonic."""

    facts: WatchFacts
    clock: Callable[[], float]
    writer: RecordingWriter | None = None
    changed: threading.Condition = field(default_factory=threading.Condition, repr=False)
    """notified whenever `version` has risen"""
    version: int = 0
    started_s: float = field(init=False)
    _samples: deque[SystemSample] = field(
        init=False, default_factory=lambda: deque(maxlen=MOST_SAMPLES)
    )
    _known: SystemSample | None = field(init=False, default=None)
    """what every node showed last"""
    _steps: deque[CourseStep] = field(
        init=False, default_factory=lambda: deque(maxlen=MOST_SAMPLES)
    )
    _plans: deque[PlanSince] = field(init=False, default_factory=lambda: deque(maxlen=MOST_OTHERS))
    _decisions: deque[DecisionShown] = field(
        init=False, default_factory=lambda: deque(maxlen=MOST_OTHERS)
    )
    _events: deque[WatchEvent] = field(
        init=False, default_factory=lambda: deque(maxlen=MOST_OTHERS)
    )

    def __post_init__(self) -> None:
        self.started_s = self.clock()

    @property
    def now_s(self) -> float:
        """Seconds from its start."""
        return self.clock() - self.started_s

    def looked(self, snapshots: Mapping[str, NodeSnapshot]) -> None:
        """The nodes that answered show this now."""
        sample = sample_of(snapshots, self.now_s)
        with self.changed:
            # Samplers may overlap; one that looked earlier and comes later is of no use.
            if self._samples and sample.at_s <= self._samples[-1].at_s:
                return
            if self._known is not None:
                self._steps.append(step_between(self.facts, self._known, sample))
            self._known = carried_on(self._known, sample)
            self._samples.append(sample)
            while sample.at_s - self._samples[0].at_s > KEPT_S:
                self._samples.popleft()
            while self._steps and sample.at_s - self._steps[0].at_s > KEPT_S:
                self._steps.popleft()
            self._tell()
            # Inside, so that samples stand in the file in the order of their times.
            self._write(lambda writer: writer.sample(sample))

    def planned(self, plan: Plan, problem: Problem) -> None:
        """`plan`, with its version, is in force for the load of `problem`."""
        try:
            shown = plan_shown(plan, problem)
        except Exception:  # noqa: BLE001 - what is only shown must cost nobody a plan
            _log.exception("the budgets of plan version %d cannot be shown", plan.version)
            shown = PlanShown(
                version=plan.version, policy=plan.policy, load_qps=plan.load_qps,
                onloading=plan.onloading,
            )  # fmt: skip
        since = PlanSince(at_s=round(self.now_s, 3), plan=shown)
        with self.changed:
            self._plans.append(since)
            self._tell()
        self._write(lambda writer: writer.plan(since))

    def decided(self, line: DecisionLine) -> None:
        """The loop has decided."""
        self._note(decision_shown(line, self.now_s))

    def became(self, line: ChangeLine) -> None:
        """What has become of the plan of a decision."""
        known = next((d for d in reversed(self._decisions) if d.number == line.number), None)
        if known is not None:
            self._note(with_change(known, line, self.now_s))

    def happened(
        self,
        words: str,
        *,
        link: str = "",
        condition: str = "",
        load_factors: Mapping[str, float] | None = None,
    ) -> None:
        """Something was done; `link` with its `condition`, or the clients' `load_factors`, are so
        from now on."""
        event = WatchEvent(
            at_s=round(self.now_s, 3), words=words, link=link, condition=condition,
            load_factors=None if load_factors is None else dict(load_factors),
        )  # fmt: skip
        with self.changed:
            self._events.append(event)
            self._tell()
        self._write(lambda writer: writer.event(event))

    def traffic_begins(self) -> None:
        """Traffic begins now whose answers are scored."""
        at_s = self.now_s
        self._write(lambda writer: writer.traffic(at_s))

    def recorded(self) -> tuple[Recorded, list[CourseStep]]:
        """All that is kept, and the steps between its samples."""
        with self.changed:
            recorded = Recorded(
                facts=self.facts,
                samples=tuple(self._samples),
                plans=tuple(self._plans),
                decisions=tuple(self._decisions),
                events=tuple(self._events),
            )
            return recorded, list(self._steps)

    def _note(self, decision: DecisionShown) -> None:
        with self.changed:
            self._decisions.append(decision)
            self._tell()
        self._write(lambda writer: writer.decision(decision))

    def _tell(self) -> None:
        self.version += 1
        self.changed.notify_all()

    def _write(self, write: Callable[[RecordingWriter], None]) -> None:
        if self.writer is None:
            return
        try:
            write(self.writer)
        except OSError as error:
            _log.error("the recording of what nodes show ends here: %s", error)
            self.writer = None
