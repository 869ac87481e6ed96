"""A node of the hierarchy at run time: a device thread, links over sockets, and a door to below.

Knows no Ray: the Serve replica (`serving/deploy/replica.py`) wraps it, tests drive it directly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial

import numpy as np

from cluster.topology import Link
from serving.errors import ModelLoadError
from serving.node.config import NodeConfig
from serving.node.device.batching import make_batcher
from serving.node.device.device_switch import DeviceSwitch
from serving.node.device.device_time import DeviceTime, EmulatedTime, HostTime
from serving.node.device.executor import Executor
from serving.node.device.served import Runtime
from serving.node.links.pacer import pacer_of
from serving.node.links.peer_connection import PeerConnection
from serving.node.links.peer_server import PeerServer
from serving.node.links.uplink import Uplink
from serving.node.node_core import NodeCore
from serving.node.observer import SILENT, NodeObserver
from serving.tracing.active import Tracing
from serving.wall_clock import WallClock

__all__ = ["REHEARSED", "NodeServer"]

REHEARSED = 8
"""images in the larger of the two batches from which a model's latency is first judged"""
REHEARSAL_S = 1.0
"""for so long a model runs batches of one size after another before it serves: the first batch of
a size takes up to twice its time, while kernels are made for it"""

FindPeer = Callable[[str], Awaitable[tuple[str, int]]]


class NodeServer(NodeCore):
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
        wall_clock: WallClock | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        node = config.node
        self.tracing = tracing
        """of queries that come to this node; None where none is traced"""
        switch = DeviceSwitch()
        guarded = switch.guard(load)
        self._image_shape = image_shape
        self._device_time = _device_time(config, clock)
        executor = Executor(
            make_batcher(node.batching, node.window_s, node.max_batch),
            lambda model: self._rehearse(_profiled(config, model), guarded(model)),
            shared_passes=config.shared_passes,
            max_waiting=config.max_waiting,
            clock=clock,
            device_time=self._device_time,
            observer=observer,
            node=node.name,
        )
        self._executor = executor
        uplinks: dict[str, Uplink] = {}
        if find_peer is not None:
            uplinks = {
                link.target: _make_uplink(
                    config, link, partial(find_peer, link.target), clock, observer
                )
                for link in config.uplinks
            }
        super().__init__(config, executor, uplinks, tasks_of, clock, observer, switch, wall_clock)
        self._peers = PeerServer(self.serve_forwarded, config.token, node.name, tracing)

    async def start(self) -> int:
        """Listen for the tier below; returns the port."""
        port = await self._peers.start(self.config.host)
        self._log.info("listens for nodes below at %s:%d", self.config.host, port)
        return port

    async def start_links(self) -> dict[str, tuple[str, int]]:
        """Listen at the far ends of the links that were laid to nodes below, and nowhere else;
        returns (host, port) by the node below. Raises `OSError` where there is no such address."""
        found: dict[str, tuple[str, int]] = {}
        for below, host in self.config.link_hosts.items():
            found[below] = host, await self._peers.start(host)
            self._log.info("listens for %s at %s:%d", below, *found[below])
        return found

    def close(self) -> None:
        """Stop everything; queries still here are refused."""
        self._log.info("the node stops")
        self._peers.close()
        super().close()
        if self.tracing is not None:
            self.tracing.close()

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
            spent_s = self._device_time.batch_s(model, size, self._clock() - started_s)
            self._executor.learn(model, size, spent_s)
        return runtime


def _make_uplink(
    config: NodeConfig,
    link: Link,
    find_peer: Callable[[], Awaitable[tuple[str, int]]],
    clock: Callable[[], float],
    observer: NodeObserver,
) -> Uplink:
    node = config.node
    transport = PeerConnection(
        find_peer,
        config.token,
        timeouts=config.timeouts,
        clock=clock,
        node=node.name,
        peer=link.target,
    )
    return Uplink(
        pacer_of(link, node, clock()),
        transport,
        clock=clock,
        on_sent=lambda spent_s, size: observer.on_link(link.target, spent_s, size),
        wire_bytes_per_s=link.most_bytes_per_s if link.target in config.laid else math.inf,
    )


def _device_time(config: NodeConfig, clock: Callable[[], float]) -> DeviceTime:
    """The host's own time, or that of the device that the node emulates.

    Nodes on one host share its cores, so time that another node's thread ran is no use of this
    one's device; a pass over several threads, or on a GPU, is counted by the clock on the wall.
    """
    node = config.node
    if node.emulated:
        latency = config.emulated
        return EmulatedTime(lambda model, size: latency[model].batch_s(size), node.window_s, clock)
    alone = node.host_device == "cpu" and node.threads == 1
    return HostTime(clock, time.thread_time if alone else time.monotonic)


def _profiled(config: NodeConfig, model: str) -> str:
    """`model`, if the node may run it: an emulated device runs what was profiled for it."""
    if config.node.emulated and model not in config.emulated:
        raise ModelLoadError(
            f"model {model} has no profile of the device that {config.node.name} emulates"
        )
    return model
