"""Traffic that `testbed live` brings along, and what it says while there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.demand import Phase
from cluster.providers.state import ClusterState
from cluster.timeline import TimelineEvent
from planner.plan import Plan
from serving.cli.console import VerbOutput
from serving.cli.driven_files import keep_driven
from serving.cli.inputs import check_class_names, check_events, load_labelled, pick_traffic
from serving.cli.run_work import RunWork
from serving.cli.watched import event_teller
from serving.runs.manifest import FileKind
from serving.traffic.images import LabelledImages
from serving.traffic.load_switch import LoadSwitch
from serving.traffic.local_faults import timeline_beside
from serving.traffic.schedule import build_schedule
from serving.traffic.summary import say_measured, summarise_run

if TYPE_CHECKING:
    from serving.deploy.fleet import Fleet
    from serving.replan.replanner import Look
    from serving.traffic.session import Run
    from serving.watch.history import WatchHistory

__all__ = ["QuietNote", "Traffic", "driven_summary", "read_traffic"]

QUIET_S = 10.0


@dataclass(frozen=True)
class Traffic:
    """What is sent beside the loop."""

    out: VerbOutput
    demand: Path
    phases: tuple[Phase, ...]
    timeline: tuple[TimelineEvent, ...]
    labelled: LabelledImages
    images: int

    def check_events(self, state: ClusterState) -> None:
        """Raise `InputError` for an event of the demand that names nobody of the cluster."""
        check_events(self.demand, state.topology)

    def drive(
        self,
        fleet: Fleet,
        plan: Plan,
        seed: int,
        loop: Callable[[], Awaitable[None]],
        state: ClusterState,
        history: WatchHistory,
        load: LoadSwitch | None,
    ) -> Run:
        """Send it all under `plan`, with `loop` and the demand's events beside it, of which
        `history` hears. By `load`, if given, clients ask more or less than that."""
        from serving.traffic.session import run_traffic

        events = timeline_beside(self.timeline, state, fleet, on_event=event_teller(history))

        async def beside() -> None:
            history.traffic_begins()
            await asyncio.gather(loop(), *(() if events is None else (events(),)))

        schedule = build_schedule(
            self.phases, seed, self.images, self.labelled.labelled, self.timeline
        )
        with self.out.progress("driving", changes=True) as advance:
            return run_traffic(
                fleet, plan, schedule, self.labelled,
                command="testbed live", seed=seed, on_progress=advance, beside=beside,
                load=load,
            )  # fmt: skip

    def keep(self, work: RunWork, driven: Run, in_force: Plan, of_run: Plan) -> None:
        """Write what was measured into the run, with the plan that was in force at first where
        that is not the run's."""
        if in_force.digest != of_run.digest:
            work.note_document(FileKind.DRIVEN_PLAN, in_force)
        keep_driven(work, driven, self.labelled)


def read_traffic(
    out: VerbOutput,
    work: RunWork,
    demand: Path | None,
    duration_s: float | None,
    images: int,
    plan: Plan,
) -> Traffic:
    """The traffic of a demand file, all of its phases. Raises `InputError` where there is none."""
    file = work.read_demand(demand, FileKind.TRAFFIC)
    phases, timeline = pick_traffic(out, file, None, duration_s)
    check_class_names(file, phases, plan)
    return Traffic(out, file, phases, timeline, load_labelled(out, phases, images), images)


def driven_summary(out: VerbOutput, driven: Run) -> dict[str, Any]:
    """Say what came back, and give it to programs."""
    measured = summarise_run(driven.measurements)
    out.say(say_measured(measured))
    return measured.model_dump(mode="json")


class QuietNote:
    """Says once that no query has come for a while, or people wait for decisions in vain, and at
    the end what the loop saw."""

    def __init__(self, out: VerbOutput) -> None:
        self._out = out
        self._told = False
        self._since_s: float | None = None
        self._looks: set[float] = set()
        self._busiest_qps = 0.0

    def look(self, look: Look, *, alone: bool = True) -> None:
        """Note a look at the nodes. A loop that is not `alone` brings its traffic along."""
        self._looks.add(look.at_s)
        load = look.estimate
        if load is not None and load.total_qps > 0:
            self._busiest_qps = max(self._busiest_qps, load.total_qps)
            self._since_s, self._told = None, False
            return
        if self._since_s is None:
            self._since_s = look.at_s
        if alone and not self._told and look.at_s - self._since_s >= QUIET_S:
            self._told = True
            self._out.say(
                f"no query has come for {QUIET_S:.0f} s: `testbed drive` in another terminal sends "
                "some, or `testbed live --drive`"
            )

    def summary(self, decisions: int, changes: int) -> str:
        """What became of it all, in one line."""
        seen = f"looked {_times(len(self._looks), 'time')}"
        if not self._busiest_qps:
            return (
                f"{seen}; no query came, so there was nothing to decide: `testbed drive` in "
                "another terminal sends some, or `testbed live --drive`"
            )
        return (
            f"{seen}, at up to {self._busiest_qps:.1f} queries/s; "
            f"{_times(decisions, 'decision')}, {_times(changes, 'change')} of plan"
        )


def _times(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
