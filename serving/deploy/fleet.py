"""The nodes as Ray Serve applications, and the way a plan reaches them.

Serve is the control plane: it places each node's replica on the node's resource and keeps it
alive. Plans travel as versioned method calls, which act in a fraction of a second, where a new
Serve configuration stalls its replica for about one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from ray import serve

from cluster.demand import Phase
from cluster.providers.ray_names import application_of, placed_at
from cluster.providers.state import ClusterError, control_folder, log_folder
from cluster.providers.time_limit import within
from cluster.topology import Topology
from cluster.wiring import Wiring
from planner.plan import Plan
from profiling.emulation import check_running
from profiling.profile import Profiles
from serving.blocking import run_blocking
from serving.deploy.assignment_record import PlanInForce, plan_followed
from serving.deploy.assignments import AssignmentsClient, find_assignments, open_assignments
from serving.deploy.door_place import door_for
from serving.deploy.lease import CHANGE_TTL_S, PLAN_CHANGE, hold_lease, owner_of
from serving.deploy.node_configs import node_configs
from serving.deploy.remote_node import RemoteNode
from serving.deploy.replica import Endpoint, LogConfig, make_application
from serving.deploy.serve_calls import (
    ask_serve,
    delete_applications,
    end_applications,
    quieten_serve,
)
from serving.deploy.signals import finish_first
from serving.errors import BudgetError, LeaseHeldError, PlanChangeConflictError
from serving.ingress.access import DoorConfig
from serving.logs.line import Level
from serving.logs.read import Read, ReadPage
from serving.metrics.targets import ScrapeTarget
from serving.node.control import call_each
from serving.node.links.link_condition import LinkCondition
from serving.node.links.link_probe import LinkProbe, ProbeLimits
from serving.node.snapshot import NodeSnapshot
from serving.rollout.budget_check import refuse_broken_budgets
from serving.rollout.execute import OnStep, RolloutReport
from serving.rollout.refuges import QueueRouting, Refuges, refuges_of
from serving.rollout.transition import Assignments, ClusterFacts, PlanTransition, no_step
from serving.rollout.ways_in_time import ways_in_time
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.tracing.config import TracingConfig

__all__ = ["Fleet"]

A = TypeVar("A")
LOG_TIMEOUT_S = 10.0
LAUNCH_LIMIT_S = 180.0
_log = logging.getLogger(__name__)


class Fleet:
    """The running nodes. Make one with `launch` or `attach`.

    Its methods wait for the nodes, so they are not to be called on an event loop. Each raises
    `ClusterError` if a node gives no answer.
    """

    def __init__(self, topology: Topology, nodes: Mapping[str, RemoteNode]) -> None:
        self.topology = topology
        self._nodes = dict(nodes)

    @classmethod
    def launch(
        cls,
        topology: Topology,
        tasks: tuple[str, ...],
        query_bytes: float,
        token: str,
        door: DoorConfig | None = None,
        *,
        wiring: Wiring | None = None,
        shared_passes: bool = True,
        spill_over: bool = True,
        log_level: Level = Level.INFO,
        profiles: Profiles | None = None,
        tracing: TracingConfig | None = None,
    ) -> Fleet:
        """Start one Serve application a node and wait until all run. Raises `ClusterError`.

        `token` is what nodes show each other, `door` says where clients' doors listen and to whom,
        `wiring` how the cluster's provider has connected the nodes.
        Nodes that emulate a device take its time from `profiles`; raises `InputError` where
        these have none of a node that does. `tracing` says which queries are traced, if any.
        """
        wiring = wiring or Wiring()
        door = door_for(wiring, door or DoorConfig())
        started_s = time.monotonic()
        logs, control = log_folder(), control_folder()
        if wiring.folder:
            logs, control = (Path(wiring.folder) / each.name for each in (logs, control))
        log = LogConfig(str(logs.absolute()), log_level)
        configs = node_configs(
            topology, tasks, query_bytes, token, wiring, profiles,
            shared_passes=shared_passes, spill_over=spill_over, tracing=tracing,
        )  # fmt: skip
        quieten_serve()
        ask_serve(
            partial(serve.start, proxy_location="Disabled", logging_config={"log_level": "WARNING"})
        )
        open_assignments(control.absolute()).record()  # raises if it cannot be read
        targets = [
            serve.RunTarget(
                make_application(config, door, log, placed_at(topology, config.node.name, 0.5)),
                name=application_of(config.node.name),
                route_prefix=None,
            )
            for config in configs
        ]
        try:
            handles = within(
                LAUNCH_LIMIT_S,
                partial(serve.run_many, targets),
                f"the nodes did not start in {LAUNCH_LIMIT_S:.0f} s, and were ended; "
                "`testbed logs --level warning` says what they were at",
            )
        except BaseException as error:
            _log.error("the nodes of %s did not start", topology.name)
            end_applications(topology)
            if not isinstance(error, RuntimeError) or isinstance(error, ClusterError):
                raise
            raise ClusterError(f"a node did not start: {' '.join(str(error).split())}") from None
        _log.info("started %d nodes in %.1f s", len(configs), time.monotonic() - started_s)
        names = [config.node.name for config in configs]
        return cls(
            topology,
            {name: RemoteNode(name, handle) for name, handle in zip(names, handles, strict=True)},
        )

    @classmethod
    def attach(cls, topology: Topology) -> Fleet | None:
        """The fleet that runs on the connected cluster, or None if none was launched."""
        quieten_serve()
        running = set(ask_serve(serve.status).applications)
        if not all(application_of(node.name) in running for node in topology.nodes):
            return None
        return cls(
            topology,
            {
                node.name: RemoteNode(node.name, serve.get_app_handle(application_of(node.name)))
                for node in topology.nodes
            },
        )

    def end(self) -> None:
        """End the nodes. The cluster stays, and others of these names may be launched on it."""
        delete_applications(self.topology)

    def endpoints(self) -> dict[str, Endpoint]:
        """Where every node listens now."""
        return run_blocking(
            call_each({name: node.endpoint() for name, node in self._nodes.items()})
        )

    def tasks(self) -> tuple[str, ...]:
        """The tasks that the nodes were started for."""
        return next(iter(self.endpoints().values())).tasks

    def urls(self) -> dict[str, str]:
        """client -> base URL of its HTTP door."""
        return {name: endpoint.url for name, endpoint in self.endpoints().items() if endpoint.url}

    def door_token(self) -> str | None:
        """What the doors ask for, if anything."""
        return next((end.token for end in self.endpoints().values() if end.doors), None)

    def scrape_targets(self) -> dict[str, ScrapeTarget]:
        """Where every node's metrics are read."""
        return {
            name: ScrapeTarget(endpoint.metrics_address, str(self.topology.node(name).tier))
            for name, endpoint in self.endpoints().items()
        }

    def in_force(self) -> PlanInForce | None:
        """The plan that the nodes follow; None where none was deployed, and in the middle of a
        change of plan."""
        return find_assignments().record().in_force

    def snapshots(self, without: Collection[str] = ()) -> dict[str, NodeSnapshot]:
        """Counters of every node but those of `without`."""
        asked = {name: node for name, node in self._nodes.items() if name not in without}
        return run_blocking(call_each({name: node.snapshot() for name, node in asked.items()}))

    def snapshots_within(self, limit_s: float) -> dict[str, NodeSnapshot]:
        """Counters of the nodes that answer within `limit_s`."""
        calls = {name: node.snapshot() for name, node in self._nodes.items()}
        return run_blocking(_answers_within(limit_s, calls))

    def log_lines(self, read: Mapping[str, Read]) -> dict[str, ReadPage]:
        """What each of the named nodes has logged beyond what was `read`; one that gives no answer
        is left out."""
        calls = {name: self._nodes[name].log_lines(known) for name, known in read.items()}
        return run_blocking(_answers_within(LOG_TIMEOUT_S, calls))

    def change_link(self, source: str, target: str, condition: LinkCondition) -> None:
        """Let the link from `source` up to `target` be as `condition` says for now; a process that
        is started in the place of `source` has it as it was set (`set_link`)."""
        lasting = self.link_condition(source, target)
        run_blocking(self._nodes[source].change_link(target, condition.over(lasting)))

    def set_link(self, source: str, target: str, condition: LinkCondition) -> None:
        """Let the link from `source` up to `target` be as `condition` says until it is set again,
        also in processes that are started meanwhile."""
        find_assignments().set_link(source, target, condition)
        run_blocking(self._nodes[source].change_link(target, condition))

    def link_condition(self, source: str, target: str) -> LinkCondition:
        """What the link is set to."""
        return find_assignments().link_conditions(source).get(target, LinkCondition())

    def probe_link(self, source: str, target: str, limits: ProbeLimits) -> LinkProbe:
        """Measure the link from `source` up to `target`; see `NodeControl.probe_link`."""
        return run_blocking(self._nodes[source].probe_link(target, limits))

    def begin_link_traces(self) -> None:
        """Let the recorded capacities of all links begin now: traffic that begins with them meets
        what it meets in simulated time."""
        if any(link.trace is not None for link in self.topology.links):
            calls = {name: node.begin_link_traces() for name, node in self._nodes.items()}
            run_blocking(call_each(calls))

    def switch_device(self, node: str, lost: bool) -> None:
        """Take the device of `node` away, or give it back. It stays lost to a process that is
        started in the node's place meanwhile, which asks the store of assignments."""
        find_assignments().switch_device(node, lost)
        run_blocking(self._nodes[node].switch_device(lost))

    def set_clock(self, node: str, ahead_s: float) -> None:
        """Let the wall clock that `node` sees be so far ahead of its host's, or behind it."""
        run_blocking(self._nodes[node].set_clock(ahead_s))

    def apply(
        self,
        plan: Plan,
        setting: Setting,
        phase: Phase,
        *,
        expected_version: int | None = None,
        routing: RoutingMode = RoutingMode.SHARES,
        on_step: OnStep = no_step,
        without: Collection[str] = (),
    ) -> RolloutReport:
        """Put `plan` in force for the load of `phase`: load, route, drain, unload.

        From then on clients choose among its ways by `routing`. Nodes of `without`, which `plan`
        has no use for, are not asked: they give no answer now, and are found with what they were
        told before when they are back.

        Versions only ever rise, and one change is made at a time. A change that fails is undone.
        SIGINT and SIGTERM wait until it is over. `expected_version` is that of the plan in force on
        which `plan` is based, if it is based on one; `on_step` see `PlanTransition`.

        Raises `BudgetError`, and touches nothing, if the plan breaks a constraint of
        `setting.problem(phase)`; `InputError` if nodes emulate devices by other profiles than
        those of `setting`; `PlanError` if the plan names what is not there;
        `PlanChangeConflictError` if another change is under way or has come first; and
        `PlanChangeError` if the change broke off, with what the nodes hold now.
        """
        started_s = time.monotonic()
        problem = setting.problem(phase)
        try:
            refuse_broken_budgets(problem, plan)
        except BudgetError as error:
            _log.warning("refused a plan of %s: %s", plan.policy, error)
            raise
        if any(node.emulated for node in self.topology.nodes):
            running = {name: seen.emulated for name, seen in self.snapshots(without).items()}
            check_running(self.topology, setting.profiles, running)
        refuges = refuges_of(self.topology, plan, setting.accuracy, ways_in_time(problem))
        store = find_assignments()
        owner = owner_of(f"a change to a plan of {plan.policy}")
        try:
            with (
                finish_first("a change of plan"),
                hold_lease(store, PLAN_CHANGE, owner, CHANGE_TTL_S),
            ):
                change = run_blocking(
                    self._change(
                        store,
                        owner,
                        plan,
                        setting,
                        refuges,
                        expected_version,
                        routing,
                        on_step,
                        started_s,
                        without,
                    )
                )
        except LeaseHeldError as held:
            raise PlanChangeConflictError(
                f"another change of plan is under way: {held.owner}. Nothing was touched; "
                f"try again when it is over (if it was killed, in {held.left_s:.0f} s)"
            ) from None
        except Exception:
            _log.exception("the change to a plan of %s broke off", plan.policy)
            raise
        _log.info(
            "plan version %d of %s is in force after %.2f s; stages: %d; loads left out, routes "
            "turned within %.2f s; the last query of the old ones ended %.2f s later",
            change.version, plan.policy, change.total_s, change.stages,
            change.reaction_s, change.drain_s,
        )  # fmt: skip
        return change

    async def _change(
        self,
        store: AssignmentsClient,
        owner: str,
        plan: Plan,
        setting: Setting,
        refuges: Mapping[str, Refuges],
        expected_version: int | None,
        routing: RoutingMode,
        on_step: OnStep,
        started_s: float,
        without: Collection[str],
    ) -> RolloutReport:
        record = await asyncio.to_thread(store.begin_change, owner, expected_version)
        nodes = {name: node for name, node in self._nodes.items() if name not in without}
        known = {name: told for name, told in record.nodes.items() if name in nodes}
        new = PlanInForce(plan=plan, routing=routing)

        async def write(told: Assignments, ahead: Assignments | None) -> None:
            followed = plan_followed(record, ahead, new, undoing=change.undoing)
            await asyncio.to_thread(store.assign, owner, told, ahead, followed)

        change = PlanTransition(
            nodes,
            known,
            record.version,
            ClusterFacts.of(self.topology, setting.model_bytes).without(without),
            write,
            on_step,
        )
        queues = QueueRouting.of(routing, setting.accuracy)
        return await change.run(plan, started_s, refuges, queues)


async def _answers_within(limit_s: float, calls: Mapping[str, Awaitable[A]]) -> dict[str, A]:
    """The answers of the nodes that give one within `limit_s`."""
    waiting = [asyncio.wait_for(call, limit_s) for call in calls.values()]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    return {
        name: answer
        for name, answer in zip(calls, found, strict=True)
        if not isinstance(answer, BaseException)
    }
