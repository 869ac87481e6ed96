"""The system without devices: the same routing, batching, admission and links on a virtual clock.

Tasks of one request share passes and their image's way up, as they do live.

Only time is modelled: a batch takes what its profile measured (F15: linear between the measured
batch sizes), an uplink takes what its pacer says. Run it with `run_in_virtual_time`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

import numpy as np

from cluster.topology import Node, Topology
from planner.latency_bound import latency_bounds_s
from planner.plan import Plan
from profiling.profile import Profiles
from serving.errors import NotServedError, RefusalReason, RefusedError
from serving.node.device.admission import find_refusal
from serving.node.device.batching import Batch, Batcher, make_batcher
from serving.node.links.pacer import LinkPacer
from serving.node.server import REHEARSED
from serving.rollout.stages import route_tables
from serving.routing.early_refusal import NodeBackoff
from serving.routing.router import Router
from serving.routing.routes import Ask, frames_up, next_hop
from serving.system import Answer, Outcome, Query, Timing

__all__ = ["BatchLog", "SimulatedSystem", "profiled_latency"]

BatchLatency = Callable[[str, str, int], float]
"""(node, model, batch size) -> device seconds"""


def profiled_latency(profiles: Profiles) -> BatchLatency:
    """Median latency as measured, linear between the measured sizes and beyond the last."""

    def latency_s(node: str, model: str, batch: int) -> float:
        profile = profiles.find(node, model)
        if profile is None:
            raise KeyError(f"{model!r} was not profiled on {node!r}")
        sizes = [entry.batch for entry in profile.latency]
        medians_s = [entry.p50_s for entry in profile.latency]
        if batch > sizes[-1]:
            return medians_s[-1] + profile.marginal_s * (batch - sizes[-1])
        return float(np.interp(batch, sizes, medians_s))

    return latency_s


@dataclass(frozen=True, slots=True)
class BatchLog:
    """One batch that a simulated device ran."""

    model: str
    size: int
    closed_s: float
    started_s: float
    spent_s: float
    release: str


_Waiting = asyncio.Future[tuple[Timing, int]]


class _Device:
    """What `Executor` is live: the same batcher and admission, driven by timers."""

    def __init__(self, node: Node, latency_s: BatchLatency) -> None:
        self._node = node
        self._latency_s = latency_s
        self._batcher: Batcher[_Waiting] = make_batcher(
            node.batching, node.window_s, node.max_batch
        )
        self._wake: asyncio.TimerHandle | None = None
        self._busy = False
        self._free_s = 0.0
        self._rehearsed: set[str] = set()
        self.log: list[BatchLog] = []

    async def submit(self, model: str, deadline_s: float) -> tuple[Timing, int]:
        """Where the image's time went, and the size of its batch."""
        loop = asyncio.get_running_loop()
        if model not in self._rehearsed:
            self._rehearse(model)
        refusal = find_refusal(self._batcher, model, loop.time(), self._free_s, deadline_s)
        if refusal is not None:
            raise refusal
        future: _Waiting = loop.create_future()
        self._batcher.push(model, future, loop.time(), deadline_s)
        self._look()
        return await future

    def _rehearse(self, model: str) -> None:
        """What a live node learns when it loads a model."""
        self._rehearsed.add(model)
        for size in (1, min(REHEARSED, self._node.max_batch)):
            self._batcher.latency_model.learn(
                model, size, self._latency_s(self._node.name, model, size)
            )

    def _look(self) -> None:
        """Run the next batch if the device is free, or set a timer for when one may be ready."""
        if self._busy:
            return
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for late in self._batcher.take_late(now_s):
            late.set_exception(
                RefusedError(RefusalReason.DEADLINE, "the deadline passed while it waited")
            )
        batch = self._batcher.pop(now_s)
        if batch is not None:
            self._start(batch)
            return
        wake_s = self._batcher.wake_s(now_s)
        if wake_s is not None:
            self._wake = loop.call_at(wake_s, self._look)

    def _start(self, batch: Batch[_Waiting]) -> None:
        now_s, size = asyncio.get_running_loop().time(), len(batch.items)
        spent_s = self._latency_s(self._node.name, batch.model, size)
        self._busy = True
        self._free_s = now_s + self._batcher.latency_model.batch_s(batch.model, size)
        self.log.append(BatchLog(batch.model, size, batch.closed_s, now_s, spent_s, batch.release))
        asyncio.get_running_loop().call_later(spent_s, self._finish, batch, now_s, spent_s)

    def _finish(self, batch: Batch[_Waiting], started_s: float, spent_s: float) -> None:
        self._busy = False
        self._free_s = started_s + spent_s
        self._batcher.latency_model.learn(batch.model, len(batch.items), spent_s)
        self._batcher.answered(started_s + spent_s - batch.arrived_s[0])
        for future, arrived_s in zip(batch.items, batch.arrived_s, strict=True):
            if future.done():
                continue
            timing = Timing(
                queue_s=max(0.0, batch.closed_s - arrived_s),
                batch_wait_s=max(0.0, started_s - batch.closed_s),
                compute_s=spent_s,
            )
            future.set_result((timing, len(batch.items)))
        self._look()


class _Link(NamedTuple):
    """What an `Uplink` holds live."""

    pacer: LinkPacer
    backoff: NodeBackoff


@dataclass(frozen=True, slots=True)
class _Reply:
    """What became of one ask."""

    ask: Ask
    timing: Timing
    batch_size: int


@dataclass
class SimulatedSystem:
    """`SharingSystem` for a plan on a topology. Answers carry no prediction, only way and time.

    `query_bytes` is b_t by task, framing included. Use on a `VirtualTimeLoop`.
    """

    topology: Topology
    plan: Plan
    latency_s: BatchLatency
    query_bytes: Mapping[str, float]
    version: int = 1
    shared_passes: bool = True
    _devices: dict[str, _Device] = field(init=False)

    def __post_init__(self) -> None:
        clients = tuple(node.name for node in self.topology.clients)
        tables = route_tables(self.plan, self.version, clients)
        self._routers = {client: Router(tables[client], self.shared_passes) for client in clients}
        self._devices = {node.name: _Device(node, self.latency_s) for node in self.topology.nodes}
        self._uplinks = {
            node.name: {
                link.target: _Link(
                    LinkPacer(float(link.bandwidth), link.rtt_s, node.window_s), NodeBackoff()
                )
                for link in self.topology.uplinks(node.name)
            }
            for node in self.topology.nodes
        }
        largest = max(self.query_bytes.values(), default=0.0)
        self._bounds_s = {
            client: latency_bounds_s(self.topology, client, largest) for client in clients
        }

    def batches(self, node: str) -> list[BatchLog]:
        """Every batch that `node`'s device has run."""
        return self._devices[node].log

    async def send(self, query: Query) -> Answer:
        """Route, cross the links, wait in the batcher and compute, in simulated time."""
        return (await self.send_all(query, (query.task,)))[query.task]

    async def send_all(self, query: Query, tasks: tuple[str, ...]) -> dict[str, Answer]:
        """The same for several tasks of one image: all are answered, or all refused."""
        now_s = asyncio.get_running_loop().time()
        deadline_s = inf if query.within_s is None else now_s + query.within_s
        size = int(max(self.query_bytes.get(task, 0.0) for task in tasks))
        try:
            asks = self._routers[query.client].pick_all(tasks)
            replies = await self._serve(query.client, asks, size, deadline_s)
        except RefusedError as refusal:
            return dict.fromkeys(tasks, Answer(Outcome.SHED, reason=refusal.reason))
        except NotServedError:
            return dict.fromkeys(tasks, Answer(Outcome.SHED, reason=RefusalReason.NOT_SERVED))
        return {
            task: self._answer(query.client, reply) for reply in replies for task in reply.ask.tasks
        }

    async def _serve(
        self, node: str, asks: tuple[Ask, ...], size: int, deadline_s: float
    ) -> list[_Reply]:
        """Run what is asked of `node` there, and send the rest up, in one frame a link or in one
        each."""
        above = [ask for ask in asks if ask.target.node != node]
        parts = [
            *(self._run(ask, deadline_s) for ask in asks if ask.target.node == node),
            *(
                self._climb(node, frame, size, deadline_s)
                for frame in frames_up(above, self._uplinks[node], self.shared_passes)
            ),
        ]
        if len(parts) == 1:
            return await parts[0]
        done = await asyncio.gather(*parts, return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, BaseException):
                raise outcome
        return [reply for outcome in done if isinstance(outcome, list) for reply in outcome]

    async def _run(self, ask: Ask, deadline_s: float) -> list[_Reply]:
        device = self._devices[ask.target.node]
        timing, batch_size = await device.submit(ask.target.model, deadline_s)
        return [_Reply(ask, timing, batch_size)]

    async def _climb(
        self, node: str, asks: tuple[Ask, ...], size: int, deadline_s: float
    ) -> list[_Reply]:
        """Take the image up one link, have it served there, and bring the answers down."""
        loop = asyncio.get_running_loop()
        hop = next_hop(asks[0].target, self._uplinks[node])
        assert hop is not None  # a plan's routes are on links
        pacer, backoff = self._uplinks[node][hop]
        for ask in asks:
            refusal = backoff.refusal(ask.target.node, loop.time())
            if refusal is not None:
                raise refusal
        started_s = loop.time()
        left_s = pacer.reserve(started_s, size, deadline_s)
        up_s = left_s - started_s + pacer.rtt_s / 2
        await asyncio.sleep(up_s)
        try:
            replies = await self._serve(hop, asks, size, deadline_s - pacer.rtt_s / 2)
        except RefusedError as refusal:
            for ask in asks:
                backoff.note(ask.target.node, refusal, loop.time())
            raise
        finally:
            await asyncio.sleep(pacer.rtt_s / 2)
        link_s = up_s + pacer.rtt_s / 2
        return [
            replace(reply, timing=replace(reply.timing, link_s=reply.timing.link_s + link_s))
            for reply in replies
        ]

    def _answer(self, client: str, reply: _Reply) -> Answer:
        target = reply.ask.target
        return Answer(
            Outcome.ANSWERED,
            tier=target.tier,
            node=target.node,
            model=target.model,
            plan_version=self.version,
            batch_size=reply.batch_size,
            bound_s=self._bounds_s[client][target.node],
            timing=reply.timing,
        )
