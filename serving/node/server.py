"""A node of the hierarchy at run time: executor, uplink, router and the plan they follow.

Knows no Ray: the Serve replica (`serving/deploy/replica.py`) wraps it, tests drive it directly.
A plan reaches it in four calls, so that models are there before routes turn to them and go only
after the last query that was sent to them: `load`, `route`, `drained`, `retire`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import NamedTuple

import numpy as np

from cluster.topology import Link, Node
from serving.errors import NotServedError, RefusalReason, RefusedError, raise_first
from serving.logs.logger import NodeLogger
from serving.node.config import NodeConfig
from serving.node.device.batching import make_batcher
from serving.node.device.device_watch import DeviceHealth
from serving.node.device.executor import Executor
from serving.node.device.served import Image, Runtime, Served
from serving.node.dispatch import Dispatcher
from serving.node.links.messages import AskOutcome
from serving.node.links.pacer import LinkPacer
from serving.node.links.peer_server import PeerServer
from serving.node.links.uplink import Uplink
from serving.node.observer import SILENT, NodeObserver
from serving.node.snapshot import NodeSnapshot
from serving.routing.early_refusal import EarlyRefusals, StandingRefusal
from serving.routing.router import Router
from serving.routing.routes import Ask, RouteTable, Target

__all__ = ["REHEARSED", "Forwarded", "NodeServer", "Routed"]

REHEARSED = 8
"""images in the larger of the two batches from which a model's latency is first judged"""
REHEARSAL_S = 1.0
"""for so long a model runs batches of one size after another before it serves: the first batch of
a size takes up to twice its time, while kernels are made for it"""

_log = logging.getLogger(__name__)
FindPeer = Callable[[str], Awaitable[tuple[str, int]]]


class Forwarded(NamedTuple):
    """An answer and the time it spent on links, both ways, in seconds."""

    served: Served
    link_s: float


class Routed(NamedTuple):
    """An answered query and the way it took."""

    target: Target
    forwarded: Forwarded
    plan_version: int
    bound_s: float


class NodeServer:
    """One node, without Ray. Must be created and used on one event loop.

    `load` makes a model's runtime, `image_shape` and `tasks_of` say what a model takes and serves,
    `find_peer` where a node above listens now.
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
        self._log = NodeLogger(_log, node.name)
        self._observer = observer
        self._image_shape = image_shape
        self._tasks_of = tasks_of
        self._clock = clock
        self._router = Router(RouteTable(version=0, routes={}), config.shared_passes)
        self._executor = Executor(
            make_batcher(node.batching, node.window_s, node.max_batch),
            lambda model: self._rehearse(model, load(model)),
            shared_passes=config.shared_passes,
            max_waiting=config.max_waiting,
            clock=clock,
            busy_clock=_busy_clock(node),
            observer=observer,
            node=node.name,
        )
        self._uplinks: dict[str, Uplink] = {}
        if find_peer is not None:
            self._uplinks = {
                link.target: self._make_uplink(link, partial(find_peer, link.target))
                for link in config.uplinks
            }
        self._served: Counter[str] = Counter()
        self._dispatcher = Dispatcher(
            (str(node.tier), node.name),
            self._executor,
            self._uplinks,
            self._router,
            tasks_of,
            self._served,
            shared_passes=config.shared_passes,
        )
        self._peers = PeerServer(self._serve_forwarded, config.token, node.name)
        self._arrived: Counter[str] = Counter()
        self._refused: Counter[RefusalReason] = Counter()
        self._refused_early: Counter[str] = Counter()
        self._early_refusals = EarlyRefusals(
            node.window_s, self._refusal, self._count_refused_early, clock
        )
        self._loads_s: dict[str, float] = {}
        self._plan_version = 0
        self._in_flight: Counter[int] = Counter()

    async def start(self) -> int:
        """Listen for the tier below; returns the port."""
        port = await self._peers.start(self.config.host)
        self._log.info("listens for nodes below at %s:%d", self.config.host, port)
        return port

    def close(self) -> None:
        """Stop everything; queries still here are refused."""
        self._log.info("the node stops")
        self._peers.close()
        for uplink in self._uplinks.values():
            uplink.close()
        self._executor.close()

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        """Load and warm what is not there yet; returns seconds by model."""
        times_s = {model: await self._executor.load(model) for model in models}
        self._loads_s.update({model: spent for model, spent in times_s.items() if spent})
        return times_s

    def route(self, table: RouteTable) -> None:
        """Follow `table` from the next query on; an older version than the present is ignored."""
        if table.version >= self._plan_version:
            if table.version > self._plan_version:
                ways = ", ".join(f"{task}: {len(to)}" for task, to in table.routes.items())
                self._log.info("follows plan version %d; ways: %s", table.version, ways or "none")
            self._plan_version = table.version
            self._router.replace(table)
            self._early_refusals.forget()
            self._observer.on_plan(table)
            self._prepare_uplinks()

    @property
    def table(self) -> RouteTable:
        """The routes in force."""
        return self._router.table

    async def drained(self, version: int) -> None:
        """Wait until no query that was routed by a plan older than `version` is in flight."""
        while any(self._in_flight[old] for old in list(self._in_flight) if old < version):
            await asyncio.sleep(0.01)

    @property
    def failing(self) -> bool:
        """Whether the device fails, hangs or is gone: the node should be started anew."""
        return self._executor.health is not DeviceHealth.WELL

    async def retire(self, version: int, keep: frozenset[str]) -> dict[str, float]:
        """Unload every model not in `keep`, once its queries are done; returns seconds by model."""
        self._plan_version = max(self._plan_version, version)
        self._prepare_uplinks()
        gone = [model for model in self._executor.models if model not in keep]
        times_s = await asyncio.gather(*(self._executor.unload(model) for model in gone))
        return dict(zip(gone, times_s, strict=True))

    async def answer(self, task: str, image: Image, *, deadline_s: float | None = None) -> Routed:
        """Answer a query that arrived at this client node; see `answer_all`."""
        return (await self.answer_all((task,), image, deadline_s=deadline_s))[task]

    async def answer_all(
        self, tasks: tuple[str, ...], image: Image, *, deadline_s: float | None = None
    ) -> dict[str, Routed]:
        """Answer several tasks of one image, all of them or none.

        `deadline_s` is absolute, on the node's clock. Raises `NotServedError`, and `RefusedError`
        (reason `DEADLINE` once an answer can no longer come in time).
        """
        for task in tasks:
            self._arrived[task] += 1
        version = self._plan_version
        self._in_flight[version] += 1
        arrived_s = self._clock()
        try:
            if deadline_s is not None and arrived_s >= deadline_s:
                raise RefusedError(RefusalReason.DEADLINE, "the query's deadline has passed")
            asks = self._router.pick_all(tasks)
            outcomes = await self._dispatcher.dispatch(asks, image, deadline_s)
            replies = [outcome for outcome in outcomes if not isinstance(outcome, RefusedError)]
            if len(replies) < len(outcomes):
                raise_first(outcomes)
        except RefusedError as refusal:
            self._count_refusal(tasks, refusal.reason, self._clock())
            raise
        except NotServedError:
            self._count_refusal(tasks, RefusalReason.NOT_SERVED, self._clock())
            raise
        finally:
            self._in_flight[version] -= 1
        spent_s = self._clock() - arrived_s
        answers: dict[str, Routed] = {}
        for reply in replies:
            bound_s = self.config.bounds_s.get(reply.target.node, 0.0)
            for task, served in reply.served.items():
                forwarded = Forwarded(served, reply.link_s)
                answers[task] = Routed(reply.target, forwarded, version, bound_s)
                self._observer.on_answer(task, reply.target, spent_s, reply.link_s)
        return answers

    def refuse_early(self, task: str) -> StandingRefusal | None:
        """The refusal of a query of `task` that arrives now, whichever way it took, counted as one;
        None if it might be answered, or nobody was refused of late for want of room.

        For a door, which is spared reading a query only to refuse it.
        """
        return self._early_refusals.refuse(task)

    def refused_early(self, task: str) -> int:
        """Queries of `task` that were refused by `refuse_early`."""
        self._early_refusals.settle()
        return self._refused_early[task]

    def snapshot(self) -> NodeSnapshot:
        """Counters as they stand."""
        self._early_refusals.settle()
        return NodeSnapshot(
            node=self.config.node.name,
            taken_s=self._clock(),
            busy_s=self._executor.busy_s,
            batches=self._executor.batches,
            sent_bytes=sum(uplink.pacer.sent_bytes for uplink in self._uplinks.values()),
            models=self._executor.models,
            plan_version=self._plan_version,
            arrived=dict(self._arrived),
            served=dict(self._served),
            refused=dict(self._refused),
            loads_s=dict(self._loads_s),
            waiting=self._executor.waiting,
            in_flight=self._in_flight.total(),
            device=self._executor.health,
            tasks={model: tuple(self._tasks_of(model)) for model in self._executor.models},
        )

    def _refusal(self, task: str) -> RefusedError | None:
        """What every way of `task` refuses now."""
        refusal = None
        for target, _ in self._router.table.routes.get(task, ()):
            refusal = self._dispatcher.refusal(target)
            if refusal is None:
                return None
        return refusal

    def _prepare_uplinks(self) -> None:
        """With the first plan, when all nodes are up, every node makes its way to the next."""
        for uplink in self._uplinks.values():
            uplink.prepare()

    def _count_refusal(self, tasks: tuple[str, ...], reason: RefusalReason, now_s: float) -> None:
        self._early_refusals.note(reason, now_s)
        self._log.debug("refused %s: %s", tasks, reason)
        for task in tasks:
            self._refused[reason] += 1
            self._observer.on_refusal(task, reason)

    def _count_refused_early(self, task: str, reason: RefusalReason, times: int) -> None:
        self._arrived[task] += times
        self._refused[reason] += times
        self._refused_early[task] += times
        self._observer.on_refusal(task, reason, times)

    async def _serve_forwarded(
        self, asks: tuple[Ask, ...], image: Image, remaining_s: float | None
    ) -> list[AskOutcome]:
        deadline_s = None if remaining_s is None else self._clock() + remaining_s
        return await self._dispatcher.dispatch(asks, image, deadline_s)

    def _rehearse(self, model: str, runtime: Runtime) -> Runtime:
        """Run the sizes of batch that will come, and time a small and a larger one warm, so that
        admission can judge from the first query on."""
        most = self.config.node.max_batch
        images = np.zeros((most, *self._image_shape(model)), dtype=np.uint8)
        begun_s = self._clock()
        for size in (most, *range(1, most)):
            if self._clock() - begun_s > REHEARSAL_S:
                break
            runtime.run(images[:size])
        for size in (1, min(REHEARSED, most)):
            started_s = self._clock()
            runtime.run(images[:size])
            self._executor.learn(model, size, self._clock() - started_s)
        return runtime

    def _make_uplink(
        self, link: Link, find_peer: Callable[[], Awaitable[tuple[str, int]]]
    ) -> Uplink:
        pacer = LinkPacer(
            bandwidth_bytes_per_s=float(link.bandwidth),
            rtt_s=link.rtt_s,
            max_backlog_s=self.config.node.window_s,
        )
        return Uplink(
            pacer,
            find_peer,
            self.config.token,
            timeouts=self.config.timeouts,
            clock=self._clock,
            on_sent=lambda spent_s, size: self._observer.on_link(link.target, spent_s, size),
            node=self.config.node.name,
            peer=link.target,
        )


def _busy_clock(node: Node) -> Callable[[], float]:
    """What a node's use of its device is counted by.

    Nodes on one host share its cores, so time that another node's thread ran is no use of this
    one's; a pass over several threads, or on a GPU, is counted by the clock on the wall.
    """
    return time.thread_time if node.device == "cpu" and node.threads == 1 else time.monotonic
