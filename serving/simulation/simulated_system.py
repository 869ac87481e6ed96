"""The system on a virtual clock: the live nodes' own code, on simulated devices and links.

Only time is modelled: a batch takes what its profile measured, an uplink what its pacer says.
Routing, spill-over, batching, admission, link budgets, deadlines, detours after faults and changes
of the plan are the code that runs live. Run it with `run_in_virtual_time`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from cluster.deadline_classes import base_task
from cluster.topology import Node, Topology
from models.runtime.device_errors import DeviceLostError
from planner.latency_bound import latency_bounds_s
from planner.plan import Plan
from profiling.shared_hosts import SharedHost
from serving.errors import NotServedError, RefusalReason, RefusedError
from serving.named_tuples import made
from serving.node.config import NodeConfig
from serving.node.control import ServerControl
from serving.node.device.device_watch import DeviceHealth
from serving.node.device.served import Image
from serving.node.links.pacer import pacer_of
from serving.node.links.uplink import QUERY_OVERHEAD_BYTES, Uplink
from serving.node.node_core import NodeCore, Routed
from serving.node.observer import SILENT
from serving.node.snapshot import NodeSnapshot
from serving.rollout.execute import RolloutReport, execute_rollout
from serving.rollout.mend import PERIOD_S
from serving.rollout.refuges import Accuracy, QueueRouting, refuges_of
from serving.rollout.stages import next_version, plan_rollout, route_tables
from serving.rollout.transition import ClusterFacts, no_step
from serving.rollout.ways_in_time import InTime
from serving.routing.routes import RouteTable, RoutingMode
from serving.simulation.drawn_scatter import BatchScatter
from serving.simulation.loop_clock import LoopClock
from serving.simulation.process import Process
from serving.simulation.shared_cores import SharedCores
from serving.simulation.simulated_device import BatchLatency, BatchLog, SimulatedDevice
from serving.simulation.simulated_transport import SimulatedTransport
from serving.system import Answer, Outcome, Query, Timing

__all__ = ["SimulatedSystem"]


@dataclass
class SimulatedSystem:
    """`SharingSystem` for a plan on a topology. Answers carry no prediction, only way and time.

    `query_bytes` is b_t by task, framing included; `accuracy` has model -> task -> a_mt, by which
    a query whose way is full chooses another, of those that are `in_time` for it; `load_s` has node
    -> model -> what loading takes.
    Use on a `VirtualTimeLoop`.
    """

    topology: Topology
    plan: Plan
    latency_s: BatchLatency
    query_bytes: Mapping[str, float]
    version: int = 1
    shared_passes: bool = True
    spill_over: bool = True
    routing: RoutingMode = RoutingMode.SHARES
    accuracy: Accuracy = field(default_factory=dict)
    load_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    straight_s: BatchLatency | None = None
    """what a batch takes straight after another one; the same, if left out"""
    scatter: BatchScatter | None = None
    """how batches scatter around both; not at all, if left out"""
    hosts: tuple[SharedHost, ...] = ()
    """whose cores nodes share; others have cores of their own"""
    door_s: float = 0.0
    """for which a query takes a core of its client's host, if that is one of these"""
    in_time: InTime | None = None
    """which ways keep deadlines (F13, F20); all, if left out"""
    _nodes: dict[str, NodeCore] = field(init=False, default_factory=dict)
    _devices: dict[str, SimulatedDevice] = field(init=False, default_factory=dict)
    _processes: dict[str, Process] = field(init=False)
    """one for each node, whichever process serves as it now"""
    _lost: dict[str, tuple[tuple[str, ...], RouteTable]] = field(init=False, default_factory=dict)
    """models and routes of each node that was killed"""
    _owed: dict[str, tuple[str, ...]] = field(init=False, default_factory=dict)
    """models that a node which was started anew still has to load, its device being lost"""
    _without_device: set[str] = field(init=False, default_factory=set)
    _clock: LoopClock = field(init=False, default_factory=LoopClock)
    _images: dict[str, Image] = field(init=False)
    _cores: dict[str, SharedCores] = field(init=False, default_factory=dict)
    """by node of one of the `hosts`"""
    _asked: dict[tuple[str, ...], Image] = field(init=False, default_factory=dict)
    """by the tasks of a request"""

    def __post_init__(self) -> None:
        self._images = {task: _image(size) for task, size in self.query_bytes.items()}
        for host in self.hosts:
            cores = SharedCores(host, self._clock, self.door_s)
            self._cores |= dict.fromkeys(host.nodes, cores)
        self._processes = {node.name: Process() for node in self.topology.nodes}
        for node in self.topology.nodes:
            self._nodes[node.name] = self._make(node)
        for name, models in _models_of(self.plan).items():
            for model in models:
                self._devices[name].hold(model)
        clients = tuple(node.name for node in self.topology.clients)
        refuges = refuges_of(self.topology, self.plan, self.accuracy, self.in_time)
        tables = route_tables(self.plan, self.version, clients, refuges, self._queue_routing)
        for name, table in tables.items():
            self._nodes[name].route(table)

    def batches(self, node: str) -> list[BatchLog]:
        """Every batch that `node`'s device has run."""
        return self._devices[node].log

    def snapshots(self) -> dict[str, NodeSnapshot]:
        """Counters of every node that is up and does not stand still."""
        return {
            name: node.snapshot()
            for name, node in self._nodes.items()
            if not self._processes[name].stands
        }

    def node(self, name: str) -> NodeCore:
        """The node of that name. Raises `KeyError` while it is down."""
        return self._nodes[name]

    async def follow(
        self,
        plan: Plan,
        model_bytes: Mapping[tuple[str, str], int],
        without: Collection[str] = (),
    ) -> RolloutReport:
        """Put `plan` in force as a running fleet does, stage by stage; loads take their time.

        `model_bytes` is s_m by (node, model). Nodes of `without` have no part in it. Raises
        `ValueError` for a plan that does not fit.
        """
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        taking_part = {n: node for n, node in self._nodes.items() if n not in without}
        controls = {name: ServerControl(node) for name, node in taking_part.items()}
        now = {name: seen for name, seen in self.snapshots().items() if name in controls}
        clients = [node.name for node in self.topology.clients if node.name not in without]
        facts = ClusterFacts.of(self.topology, model_bytes).without(without)
        stages = plan_rollout(
            plan,
            next_version(now),
            {name: self._nodes[name].table for name in clients},
            {name: frozenset(seen.models) for name, seen in now.items()},
            facts.costs,
            facts.paths,
            {model: self._tasks_of(model) for seen in now.values() for model in seen.models},
            refuges_of(self.topology, plan, self.accuracy, self.in_time),
            self._queue_routing,
        )
        self.plan = plan
        return await execute_rollout(
            stages, controls, no_step, started_s=started_s, clock=loop.time
        )

    def kill(self, name: str) -> None:
        """End a node as if its process were killed: what it holds and what it was doing is lost.

        Raises `KeyError` if it is down already.
        """
        node = self._nodes.pop(name)
        self._lost[name] = (self._owed.pop(name, self._devices[name].models), node.table)
        node.close()
        self._processes[name].go_on()  # who waited for it finds that it is gone

    def stand_still(self, name: str) -> None:
        """Have a node's process stand still (SIGSTOP): it holds its connections and what is sent to
        it, and answers nothing. What a client has begun goes on, but is answered only once it goes
        on. Raises `KeyError` while the node is down."""
        self.node(name)
        self._devices[name].stand_still()
        self._processes[name].stop()

    def go_on(self, name: str) -> None:
        """Let a node that stands still go on (SIGCONT); nothing if it runs, or is down."""
        if self._processes[name].stands:
            self._devices[name].go_on()
            self._processes[name].go_on()

    async def restart(self, name: str) -> None:
        """Start a node that was killed: it loads its models, which takes its time, and follows the
        routes that it had. While its device is lost it serves without them, and tries again to load
        them, until that works or the node ends. Raises `KeyError` if it was not killed."""
        models, table = self._lost.pop(name)
        node = self._make(self.topology.node(name))
        loaded = await _load(node, models)
        node.route(table)
        self._nodes[name] = node
        self._owed[name] = models
        while not loaded:
            await asyncio.sleep(PERIOD_S)
            if self._nodes.get(name) is not node:
                return
            loaded = await _load(node, models)
        if self._nodes.get(name) is node:
            del self._owed[name]

    def switch_device(self, name: str, lost: bool) -> None:
        """Take the device of a node away, or give it back: batches and loads fail meanwhile."""
        (self._without_device.add if lost else self._without_device.discard)(name)
        if name in self._nodes:
            self._nodes[name].switch_device(lost)

    def fails(self, name: str) -> bool:
        """Whether a node that is up says that it has to be started anew."""
        return name in self._nodes and self._nodes[name].failing

    def device_is_off(self, name: str) -> bool:
        """Whether a node's device is taken away, or was and the node has not got over it yet."""
        well = name in self._nodes and self._devices[name].health is DeviceHealth.WELL
        return name in self._without_device or not well

    def slow(self, name: str, factor: float) -> None:
        """Let every batch that `name` begins from now on take `factor` times as long."""
        self._devices[name].slowdown = factor

    async def send(self, query: Query) -> Answer:
        """Route, cross the links, wait in the batcher and compute, in simulated time."""
        return (await self.send_all(query, (query.task,)))[query.task]

    async def send_all(self, query: Query, tasks: tuple[str, ...]) -> dict[str, Answer]:
        """The same for several tasks of one image: all are answered, or all refused."""
        deadline_s = None if query.within_s is None else self._clock() + query.within_s
        image = self._asked.get(tasks)
        if image is None:
            image = self._asked[tasks] = self._image_for(tasks)
        process = self._processes[query.client]
        if process.stands:
            await process.running()
        client = self._nodes.get(query.client)
        if client is None:
            return dict.fromkeys(tasks, Answer(Outcome.ERROR, reason="the client's node is down"))
        try:
            routed = await client.answer_all(tasks, image, deadline_s=deadline_s)
            if process.stands:
                await process.running()
        except RefusedError as refusal:
            return dict.fromkeys(tasks, Answer(Outcome.SHED, reason=refusal.reason))
        except NotServedError:
            reason = RefusalReason.NOT_SERVED
            return dict.fromkeys(tasks, Answer(Outcome.SHED, reason=reason))
        finally:
            # All of the door's work, before the batch and after it: beside the batch there is none.
            if self.door_s and (cores := self._cores.get(query.client)):
                cores.occupy()
        return {task: _answer(routed[task]) for task in tasks}

    def _image_for(self, tasks: tuple[str, ...]) -> Image:
        """The largest image that one of `tasks` is asked of."""
        found = [self._images.get(base_task(task), EMPTY) for task in tasks]
        return max(found, key=lambda each: each.nbytes)

    @property
    def _queue_routing(self) -> QueueRouting:
        return QueueRouting.of(self.routing, self.accuracy)

    def _make(self, node: Node) -> NodeCore:
        largest = max(self.query_bytes.values(), default=0.0)
        links = self.topology.uplinks(node.name)
        config = NodeConfig(
            node=node,
            uplinks=links,
            tasks=tuple(self.query_bytes),
            token="",
            bounds_s=latency_bounds_s(self.topology, node.name, largest),
            shared_passes=self.shared_passes,
            spill_over=self.spill_over,
        )
        former = self._devices.get(node.name)
        device = self._devices[node.name] = SimulatedDevice(
            node,
            self.latency_s,
            config.max_waiting,
            self.load_s.get(node.name, {}),
            self.straight_s,
            self.scatter,
            self._cores.get(node.name),
        )
        device.switch.lost = node.name in self._without_device
        if former is not None:
            device.log = former.log  # of the node, whichever process ran its batches
        uplinks = {
            link.target: Uplink(
                pacer_of(link, node),
                SimulatedTransport(
                    partial(self._nodes.get, link.target),
                    self._processes[link.target],
                    self._clock,
                ),
                clock=self._clock,
                sleep=self._clock.sleep,
            )
            for link in links
        }
        return NodeCore(
            config, device, uplinks, self._tasks_of, self._clock, SILENT, device.switch
        )  # fmt: skip

    def _tasks_of(self, model: str) -> Collection[str]:
        """What a model serves: by its accuracies, or where there are none by the plan's routes."""
        if model in self.accuracy:
            return self.accuracy[model]
        return {base_task(route.task) for route in self.plan.routes if route.model == model}


ANSWERED = Outcome.ANSWERED  # a look at an enum's member costs as much as making a tuple
EMPTY: Image = np.zeros((0, 1, 1), np.uint8)


def _image(size_bytes: float) -> Image:
    """An image that takes so many bytes on a link, and none of memory."""
    body_bytes = max(0, int(size_bytes) - QUERY_OVERHEAD_BYTES)
    return np.broadcast_to(np.uint8(0), (body_bytes, 1, 1))


async def _load(node: NodeCore, models: tuple[str, ...]) -> bool:
    """Load `models`; whether the device was there for it."""
    try:
        await node.load(models)
    except DeviceLostError:
        return False
    return True


def _models_of(plan: Plan) -> dict[str, set[str]]:
    """What each node holds under `plan`."""
    found = {node: set(models) for node, models in plan.onloading.items()}
    for route in plan.routes:
        found.setdefault(route.node, set()).add(route.model)
    return found


def _answer(routed: Routed) -> Answer:
    (tier, node, model, _), (served, link_s), plan_version, bound_s, spilled = routed
    _, size, queue_s, batch_wait_s, compute_s = served
    timing = made(Timing, (queue_s, batch_wait_s, compute_s, link_s))
    return made(Answer, (
        ANSWERED, spilled or "", None, tier, node, model, plan_version, size, bound_s, timing, "",
    ))  # fmt: skip
