"""Runs on a Ray cluster of this machine: real nodes, models and traffic.

Each is what the command line does: a plan is deployed, its traffic driven with the events of the
timeline, and the live loop runs beside it. The cluster is this object's own, started with the first
run. Nodes of other windows or devices are started anew on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cluster.demand import Phase
from cluster.errors import InputError
from cluster.machine import check_capacity, read_machine
from cluster.providers import lifecycle, ray_driver
from cluster.providers.state import ClusterError, ClusterState
from cluster.topology import Topology
from planner.plan import Plan
from serving.errors import ServingError
from serving.experiment_runs.request import RunRequest
from serving.node.snapshot import NodeSnapshot
from serving.replan.loop import ReplanLoop
from serving.replan.loop_state import LoopState
from serving.replan.options import ReplanOptions
from serving.replan.planning import Planner, Planners
from serving.replan.replanner import Look
from serving.rollout.execute import RolloutReport
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.live_run import Change, LiveRun
from serving.traffic.images import LabelledImages
from serving.traffic.local_faults import timeline_beside
from serving.traffic.schedule import build_schedule
from serving.traffic.session import run_traffic

if TYPE_CHECKING:  # imports Ray, which wants its environment first
    from serving.deploy.fleet import Fleet

__all__ = ["ClusterRuns", "beside_each_other", "wait_for_nodes"]

BACK_S = 90.0
"""within which a node that a request has killed is back: it hangs for 45 s, starts and loads"""
ANSWER_S = 2.0
PAUSE_S = 0.5
Beside = Callable[[], Awaitable[None]]


class _WatchedFleet:
    """The fleet as the loop sees it; notes when each plan was in force."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.topology = fleet.topology
        self.since_s = time.monotonic()
        self.in_force: list[tuple[Plan, float]] = []

    def snapshots_within(self, limit_s: float) -> dict[str, NodeSnapshot]:
        return self._fleet.snapshots_within(limit_s)

    def apply(
        self,
        plan: Plan,
        setting: Setting,
        phase: Phase,
        *,
        expected_version: int | None = None,
        routing: RoutingMode = RoutingMode.SHARES,
        without: Collection[str] = (),
    ) -> RolloutReport:
        begun_s = time.monotonic()
        change = self._fleet.apply(
            plan, setting, phase, expected_version=expected_version, routing=routing,
            without=without,
        )  # fmt: skip
        self.in_force.append((plan, begun_s + change.routed_s - self.since_s))
        return change


class _LoopBeside:
    """The live loop beside one run, and what it did."""

    def __init__(
        self,
        request: RunRequest,
        options: ReplanOptions,
        fleet: Fleet,
        version: int,
        planners: Planners,
    ) -> None:
        self._fleet = _WatchedFleet(fleet)
        self.looks: list[Look] = []
        self._loop = ReplanLoop(
            self._fleet,
            LoopState(plan=request.plan.model_copy(update={"version": version})),
            request.believed or request.setting,
            options,
            clock=time.monotonic,
            policy=request.policy,
            planners=planners,
            routing=request.routing,
            on_look=lambda report: self.looks.append(report.look),
        )

    async def run(self) -> None:
        """From the start of the traffic until that ends."""
        self._fleet.since_s = time.monotonic()
        await self._loop.run()

    @property
    def changes(self) -> list[Change]:
        """What was put in force, in that order."""
        return [
            Change(look, plan, in_force_s)
            for plan, in_force_s in self._fleet.in_force
            for look in self.looks
            if any(step is plan for step in look.steps)
        ]


class ClusterRuns:
    """`Runs` on real nodes. Use as a context manager: its end takes the cluster down.

    `images` are asked about; `command` stands in the provenance of what is measured.
    """

    live = True

    def __init__(
        self,
        images: LabelledImages,
        command: str,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._images = images
        self._command = command
        self._say = say
        self._setting: Setting | None = None
        self._state: ClusterState | None = None
        self._fleet: Fleet | None = None
        self._planners: dict[Planner, Planners] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for planners in self._planners.values():
            planners.close()
        self._planners.clear()
        self._down()

    def run(self, request: RunRequest) -> LiveRun:
        """Deploy the request's plan and drive its traffic; takes as long as that.

        Raises `ClusterError` where a cluster is up already or a node does not come back,
        `ServingError` where the loop or the timeline broke off, `InputError` for an event that
        names nobody or nodes of other names than the first run's, and what `Fleet.apply` raises.
        """
        fleet, state = self._ready(request.setting)
        schedule = build_schedule(
            request.phases, request.seed, len(self._images), self._images.labelled, request.timeline
        )
        faults = timeline_beside(request.timeline, state, fleet)
        change = fleet.apply(
            request.plan,
            request.believed or request.setting,
            request.planned_for,
            routing=request.routing,
        )
        loop = None
        if request.options is not None:
            planners = self._planners_for(request.policy.decide)
            loop = _LoopBeside(request, request.options, fleet, change.version, planners)
        parts = [part for part in (faults, loop.run if loop else None) if part is not None]
        run = run_traffic(
            fleet,
            request.plan,
            schedule,
            self._images,
            command=self._command,
            seed=request.seed,
            beside=beside_each_other(parts) if parts else None,
        )
        if run.beside_fault:
            raise ServingError(
                f"what ran beside the traffic of seed {request.seed} broke off: {run.beside_fault}"
            )
        if loop is None:
            return LiveRun(run.measurements, [], [])
        return LiveRun(run.measurements, loop.looks, loop.changes)

    def _planners_for(self, decide: Planner) -> Planners:
        """The processes that make such decisions. They are kept from run to run, so that only the
        first one waits for their imports."""
        if decide not in self._planners:
            limit_s = ReplanOptions().planning_limit_s
            self._planners[decide] = Planners.in_processes(decide, limit_s)
        return self._planners[decide]

    def _ready(self, setting: Setting) -> tuple[Fleet, ClusterState]:
        """The nodes of `setting`, all of them there."""
        state = self._up(setting.topology)
        if self._fleet is None or self._setting != setting:
            self._fleet = self._launch(setting, state)
            self._setting = setting
        wait_for_nodes(self._fleet)
        return self._fleet, state

    def _up(self, topology: Topology) -> ClusterState:
        """The cluster. It is never another one, since Ray keeps the token of the first for as long
        as a process lives."""
        if self._state is None:
            self._state = lifecycle.up(topology)
            ray_driver.connect()
        names = [node.name for node in self._state.topology.nodes]
        if [node.name for node in topology.nodes] != names:
            raise InputError(
                f"topology {topology.name!r} has other nodes than {', '.join(names)}, for which "
                "the cluster of these runs was started"
            )
        return self._state

    def _launch(self, setting: Setting, state: ClusterState) -> Fleet:
        """Nodes of `setting`, in place of those that run."""
        check_capacity(setting.topology.nodes, read_machine())
        self._say(f"starting the {len(setting.topology.nodes)} nodes of {setting.topology.name}")
        from serving.deploy.fleet import Fleet

        if self._fleet is not None:
            self._fleet.end()
        return Fleet.launch(
            setting.topology,
            setting.base_tasks,
            setting.largest_query_bytes,
            state.link_token,
            wiring=state.wiring,
            profiles=setting.profiles,
        )

    def _down(self) -> None:
        """Take down what was started here, and nothing else."""
        if self._state is not None:
            ray_driver.disconnect()
            lifecycle.down()
        self._setting = self._state = self._fleet = None


def beside_each_other(parts: Sequence[Beside]) -> Beside:
    """All of `parts` at once; the first one that fails ends the others and says why."""

    async def run() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(_awaited(part))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    return run


async def _awaited(part: Beside) -> None:
    await part()


def wait_for_nodes(fleet: Fleet) -> None:
    """Until all answer. Raises `ClusterError` if a node is not back within `BACK_S`."""
    give_up_s = time.monotonic() + BACK_S
    wanted = {node.name for node in fleet.topology.nodes}
    while missing := wanted - set(fleet.snapshots_within(ANSWER_S)):
        if time.monotonic() > give_up_s:
            raise ClusterError(
                f"no answer of {', '.join(sorted(missing))} for {BACK_S:g} s; "
                "`testbed logs` says what broke"
            )
        time.sleep(PAUSE_S)
