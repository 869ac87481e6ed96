"""The system without devices: the same routing, batching, admission and links on a virtual clock.

Only time is modelled: a batch takes what its profile measured (F15: linear between the measured
batch sizes), an uplink takes what its pacer says. Run it with `run_in_virtual_time`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from cluster.topology import Node, Topology
from planner.plan import Plan
from profiling.profile import Profiles
from serving.control.promise import promised_bounds_s
from serving.control.transition import route_tables
from serving.node.admission import Backlog, backlog_limit_s
from serving.node.batching import Batch, Batcher, make_batcher
from serving.node.errors import NotServedError, RefusedError
from serving.node.link import LinkPacer
from serving.node.router import Router
from serving.system import Answer, Outcome, Query, Timing

__all__ = ["BatchLog", "SimulatedSystem", "profiled_latency"]

LatencyModel = Callable[[str, str, int], float]
"""(node, model, batch size) -> device seconds"""


def profiled_latency(profiles: Profiles) -> LatencyModel:
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


_Waiting = asyncio.Future[tuple[Timing, int]]


class _Device:
    """What `Executor` is live: the same batcher and admission, driven by timers."""

    def __init__(self, node: Node, latency_s: LatencyModel) -> None:
        self._node = node
        self._latency_s = latency_s
        self._batcher: Batcher[_Waiting] = make_batcher(
            node.batching, node.window_s, node.max_batch
        )
        self._backlog = Backlog(backlog_limit_s(node.batching, node.window_s))
        self._models: set[str] = set()
        self._wake: asyncio.TimerHandle | None = None
        self._busy = False
        self.log: list[BatchLog] = []

    async def submit(self, model: str) -> tuple[Timing, int]:
        """Where the query's time went, and the size of its batch."""
        self._models.add(model)
        waiting = {name: self._batcher.waiting(name) for name in self._models}
        if not self._backlog.admits(waiting):
            raise RefusedError("overloaded", "the node could not answer within its bound")
        loop = asyncio.get_running_loop()
        future: _Waiting = loop.create_future()
        self._batcher.push(model, future, loop.time())
        self._look()
        return await future

    def _look(self) -> None:
        """Run the next batch if the device is free, or set a timer for when one may be ready."""
        if self._busy:
            return
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        loop = asyncio.get_running_loop()
        batch = self._batcher.pop(loop.time())
        if batch is not None:
            self._start(batch)
            return
        wake_s = self._batcher.wake_s(loop.time())
        if wake_s is not None:
            self._wake = loop.call_at(wake_s, self._look)

    def _start(self, batch: Batch[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        spent_s = self._latency_s(self._node.name, batch.model, len(batch.items))
        self._busy = True
        self.log.append(
            BatchLog(batch.model, len(batch.items), batch.closed_s, loop.time(), spent_s)
        )
        loop.call_later(spent_s, self._finish, batch, loop.time(), spent_s)

    def _finish(self, batch: Batch[_Waiting], started_s: float, spent_s: float) -> None:
        self._busy = False
        self._backlog.learn(batch.model, spent_s / len(batch.items))
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


@dataclass
class SimulatedSystem:
    """`System` for a plan on a topology. Answers carry no prediction, only their way and time.

    `query_bytes` is b_t by task, framing included. Use on a `VirtualTimeLoop`.
    """

    topology: Topology
    plan: Plan
    latency_s: LatencyModel
    query_bytes: Mapping[str, float]
    version: int = 1
    _devices: dict[str, _Device] = field(init=False)

    def __post_init__(self) -> None:
        clients = tuple(node.name for node in self.topology.clients)
        tables = route_tables(self.plan, self.version, clients)
        self._routers = {client: Router(tables[client]) for client in clients}
        self._devices = {node.name: _Device(node, self.latency_s) for node in self.topology.nodes}
        self._pacers = {
            link.source: LinkPacer(
                float(link.bandwidth), link.rtt_s, self.topology.node(link.source).window_s
            )
            for link in self.topology.links
        }
        largest = max(self.query_bytes.values(), default=0.0)
        self._bounds_s = {
            client: promised_bounds_s(self.topology, client, largest) for client in clients
        }

    def batches(self, node: str) -> list[BatchLog]:
        """Every batch that `node`'s device has run."""
        return self._devices[node].log

    async def send(self, query: Query) -> Answer:
        """Route, cross the links, wait in the batcher and compute, in simulated time."""
        try:
            target = self._routers[query.client].pick(query.task)
            link_s = await self._climb(query, target.node)
            timing, batch_size = await self._devices[target.node].submit(target.model)
        except RefusedError as refusal:
            return Answer(Outcome.SHED, reason=refusal.reason)
        except NotServedError:
            return Answer(Outcome.SHED, reason="not_served")
        down_s = self._round_trips_s(query.client, target.node) / 2
        await asyncio.sleep(down_s)
        return Answer(
            Outcome.ANSWERED,
            tier=target.tier,
            node=target.node,
            model=target.model,
            plan_version=self.version,
            batch_size=batch_size,
            bound_s=self._bounds_s[query.client][target.node],
            timing=Timing(timing.queue_s, timing.batch_wait_s, timing.compute_s, link_s + down_s),
        )

    async def _climb(self, query: Query, target: str) -> float:
        """Take the query up link by link to `target`; returns the seconds that took."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        size = int(self.query_bytes.get(query.task, 0.0))
        for node in self.topology.path_to_cloud(query.client):
            if node.name == target:
                break
            pacer = self._pacers[node.name]
            sent_s = pacer.reserve(loop.time(), size)
            if sent_s is None:
                raise RefusedError("link_full", "the uplink's backlog is full")
            await asyncio.sleep(sent_s - loop.time() + pacer.rtt_s / 2)
        return loop.time() - started_s

    def _round_trips_s(self, client: str, target: str) -> float:
        total_s = 0.0
        for node in self.topology.path_to_cloud(client):
            if node.name == target:
                break
            total_s += self._pacers[node.name].rtt_s
        return total_s
