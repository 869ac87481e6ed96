"""A node of the hierarchy at run time: executor, uplink, router and the plan they follow.

Knows no Ray: the Serve replica (`serving/control/replica.py`) wraps it, tests drive it directly.
A plan reaches it in four calls, so that models are there before routes turn to them and go only
after the last query that was sent to them: `load`, `route`, `drained`, `retire`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cluster.topology import Link, Node
from serving.node.admission import backlog_limit_s
from serving.node.batching import make_batcher
from serving.node.errors import NotServedError, RefusedError
from serving.node.executor import Executor, Runtime
from serving.node.link import LinkPacer
from serving.node.observer import SILENT, NodeObserver
from serving.node.peer import Forwarded, PeerServer, Uplink
from serving.node.router import Router, RouteTable, Target

__all__ = ["NodeConfig", "NodeServer", "NodeSnapshot", "Routed"]

FAULTS = frozenset({"peer_lost", "peer_unreachable", "peer_silent", "device_failed", "stopping"})
"""refusals that come from a node's fault, not from its budget: the query is tried elsewhere"""

FindPeer = Callable[[], Awaitable[tuple[str, int]]]


@dataclass(frozen=True)
class NodeConfig:
    """What a node must know besides its plan."""

    node: Node
    uplink: Link | None
    tasks: tuple[str, ...]
    token: str
    bounds_s: Mapping[str, float] = field(default_factory=dict)
    """promised latency of an answer, by the node that serves it"""
    host: str = "127.0.0.1"
    max_waiting: int = 512


@dataclass(frozen=True)
class NodeSnapshot:
    """Counters since the node started; differences of two snapshots are rates."""

    node: str
    taken_s: float
    busy_s: float
    batches: int
    sent_bytes: int
    models: tuple[str, ...]
    plan_version: int
    arrived: Mapping[str, int]
    """queries received by task (client nodes)"""
    served: Mapping[str, int]
    """queries answered here by model"""
    refused: Mapping[str, int]
    """queries refused by reason (client nodes)"""
    loads_s: Mapping[str, float]
    """seconds the latest load of each model took"""


@dataclass(frozen=True, slots=True)
class Routed:
    """An answered query and the way it took."""

    target: Target
    forwarded: Forwarded
    plan_version: int
    bound_s: float


class NodeServer:
    """See the module. Must be created and used on one event loop.

    `load` makes a model's runtime, `image_shape` and `tasks_of` say what a model takes and serves,
    `find_peer` where the node above listens now.
    """

    def __init__(
        self,
        config: NodeConfig,
        load: Callable[[str], Runtime],
        image_shape: Callable[[str], tuple[int, int, int]],
        find_peer: FindPeer | None = None,
        tasks_of: Callable[[str], Collection[str]] = lambda _: (),
        clock: Callable[[], float] = time.monotonic,
        observer: NodeObserver = SILENT,
    ) -> None:
        node = config.node
        self.config = config
        self._observer = observer
        self._image_shape = image_shape
        self._tasks_of = tasks_of
        self._clock = clock
        self._router = Router(RouteTable(version=0, routes={}))
        self._executor = Executor(
            make_batcher(node.batching, node.window_s, node.max_batch),
            load,
            backlog_limit_s=backlog_limit_s(node.batching, node.window_s),
            max_waiting=config.max_waiting,
            clock=clock,
            busy_clock=_busy_clock(node),
        )
        self._uplink = self._make_uplink(find_peer)
        self._peers = PeerServer(self._serve_forwarded, config.token)
        self._arrived: Counter[str] = Counter()
        self._served: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._loads_s: dict[str, float] = {}
        self._plan_version = 0
        self._in_flight: Counter[int] = Counter()

    async def start(self) -> int:
        """Listen for the tier below; returns the port."""
        return await self._peers.start(self.config.host)

    def close(self) -> None:
        """Stop everything; queries still here are refused."""
        self._peers.close()
        if self._uplink is not None:
            self._uplink.close()
        self._executor.close()

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        """Load and warm what is not there yet; returns seconds by model."""
        times_s = {model: await self._executor.load(model) for model in models}
        self._loads_s.update({model: spent for model, spent in times_s.items() if spent})
        return times_s

    def route(self, table: RouteTable) -> None:
        """Follow `table` from the next query on; an older version than the present is ignored."""
        if table.version >= self._plan_version:
            self._plan_version = table.version
            self._router.replace(table)

    @property
    def table(self) -> RouteTable:
        """The routes in force."""
        return self._router.table

    async def drained(self, version: int) -> None:
        """Wait until no query that was routed by a plan older than `version` is in flight."""
        while any(self._in_flight[old] for old in list(self._in_flight) if old < version):
            await asyncio.sleep(0.01)

    async def retire(self, version: int, keep: frozenset[str]) -> tuple[str, ...]:
        """Unload every model not in `keep`, once its queries are done; returns their names."""
        self._plan_version = max(self._plan_version, version)
        gone = tuple(model for model in self._executor.models if model not in keep)
        await asyncio.gather(*(self._executor.unload(model) for model in gone))
        return gone

    async def answer(
        self, task: str, image: NDArray[np.uint8], *, deadline_s: float | None = None
    ) -> Routed:
        """Answer a query that arrived at this client node.

        `deadline_s` is absolute, on the node's clock. Raises `NotServedError`, and `RefusedError`
        (reason "deadline" once the answer can no longer come in time).
        """
        return (await self.answer_all((task,), image, deadline_s=deadline_s))[task]

    async def answer_all(
        self, tasks: tuple[str, ...], image: NDArray[np.uint8], *, deadline_s: float | None = None
    ) -> dict[str, Routed]:
        """Answer several tasks of one image; all of them, or it raises as `answer` does."""
        outcomes = await asyncio.gather(
            *(self._answer(task, image, deadline_s) for task in tasks), return_exceptions=True
        )
        answers: dict[str, Routed] = {}
        for task, outcome in zip(tasks, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            answers[task] = outcome
        return answers

    async def _answer(
        self, task: str, image: NDArray[np.uint8], deadline_s: float | None
    ) -> Routed:
        self._arrived[task] += 1
        version = self._plan_version
        self._in_flight[version] += 1
        try:
            if deadline_s is not None and self._clock() >= deadline_s:
                raise RefusedError("deadline", "the query's deadline has passed")
            target = self._router.pick(task)
            try:
                forwarded = await self._dispatch(target, task, image)
            except RefusedError as refusal:
                if refusal.reason not in FAULTS:
                    raise
                target, forwarded = await self._try_others(target, task, image, refusal)
        except RefusedError as refusal:
            self._refused[refusal.reason] += 1
            raise
        except NotServedError:
            self._refused["not_served"] += 1
            raise
        finally:
            self._in_flight[version] -= 1
        bound_s = self.config.bounds_s.get(target.node, 0.0)
        return Routed(target, forwarded, version, bound_s)

    def snapshot(self) -> NodeSnapshot:
        """Counters as they stand."""
        return NodeSnapshot(
            node=self.config.node.name,
            taken_s=self._clock(),
            busy_s=self._executor.busy_s,
            batches=self._executor.batches,
            sent_bytes=self._uplink.pacer.sent_bytes if self._uplink else 0,
            models=self._executor.models,
            plan_version=self._plan_version,
            arrived=dict(self._arrived),
            served=dict(self._served),
            refused=dict(self._refused),
            loads_s=dict(self._loads_s),
        )

    async def _dispatch(self, target: Target, task: str, image: NDArray[np.uint8]) -> Forwarded:
        if target.node == self.config.node.name:
            served = await self._executor.submit(target.model, task, image)
            self._served[target.model] += 1
            return Forwarded(served, 0.0)
        if self._uplink is None:
            raise RefusedError("no_way", f"{self.config.node.name} has no link to {target.node}")
        return await self._uplink.call(target, task, image.tobytes())

    async def _try_others(
        self, failed: Target, task: str, image: NDArray[np.uint8], refusal: RefusedError
    ) -> tuple[Target, Forwarded]:
        """Another way for a query whose node failed: the task's other targets, then any model
        held here that serves it. Raises the last refusal if none of them answers."""
        here = self.config.node.name
        ways = [
            *self._router.others(task, failed.node),
            *(
                Target(str(self.config.node.tier), here, model)
                for model in self._executor.models
                if task in self._tasks_of(model)
            ),
        ]
        for target in dict.fromkeys(ways):
            try:
                return target, await self._dispatch(target, task, image)
            except RefusedError as another:
                refusal = another
        raise refusal

    async def _serve_forwarded(self, target: Target, task: str, body: bytes) -> Forwarded:
        if target.node != self.config.node.name and self._uplink is not None:
            return await self._uplink.call(target, task, body)
        image = np.frombuffer(body, dtype=np.uint8).reshape(self._image_shape(target.model))
        return await self._dispatch(target, task, image)

    def _make_uplink(self, find_peer: FindPeer | None) -> Uplink | None:
        link = self.config.uplink
        if link is None or find_peer is None:
            return None
        pacer = LinkPacer(
            bandwidth_bytes_per_s=float(link.bandwidth),
            rtt_s=link.rtt_s,
            max_backlog_s=self.config.node.window_s,
        )
        return Uplink(pacer, find_peer, self.config.token)


def _busy_clock(node: Node) -> Callable[[], float]:
    """What a node's use of its device is counted by.

    Nodes on one host share its cores, so time that another node's thread ran is no use of this
    one's; a pass over several threads, or on a GPU, is counted by the clock on the wall.
    """
    return time.thread_time if node.device == "cpu" and node.threads == 1 else time.monotonic
