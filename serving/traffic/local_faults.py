"""Faults of a local cluster: signals to its processes, which are of this host, and calls on nodes
that have a fault of their own: at a link, at the device, at the clock.

A straggler is a process that stands still for a part of every 40 ms: whatever it does then takes
that much longer, as on a slower or shared machine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

import psutil

from cluster.environment import MARK
from cluster.providers.ray_names import resource_of
from cluster.providers.state import ClusterError, ClusterState
from cluster.timeline import Controller, TimelineEvent, check_timeline
from serving.node.links.link_condition import LinkCondition
from serving.traffic.faults import EVERY_FAULT, fire_timeline

__all__ = ["LocalFaults", "NodeFaults", "find_controller", "find_process", "timeline_beside"]

SLICE_S = 0.04
"""a straggler runs and stands still once in so long; a tenth of the demo's windows"""


CONTROLLERS = {Controller.SERVE: "ray::ServeController", Controller.STORE: "ray::AssignmentStore"}
"""what their command lines begin with"""
_log = logging.getLogger(__name__)


class NodeFaults(Protocol):
    """What a fleet has its nodes do. Each call may block."""

    def change_link(self, source: str, target: str, condition: LinkCondition) -> None:
        """Let the link from `source` up to `target` be as `condition` says from now on."""
        ...

    def switch_device(self, node: str, lost: bool) -> None:
        """Take the device of `node` away, or give it back."""
        ...

    def set_clock(self, node: str, ahead_s: float) -> None:
        """Let the wall clock that `node` sees be so far ahead of its host's, or behind it."""
        ...


class LocalFaults:
    """`FaultInjector` of a local cluster. `find(node)` gives the process id of a node as it is now,
    `controller` that of a controller, None where none runs; both may block.

    Use as an asynchronous context manager: at its end every node that still stands still goes on,
    every link is as the topology has it, every device is there and every clock is right. What
    cannot be mended, such as at a node that does not answer, is logged, and the rest is mended.
    """

    supported = EVERY_FAULT

    def __init__(
        self,
        find: Callable[[str], int],
        nodes: NodeFaults,
        controller: Callable[[Controller], int | None] = lambda _: None,
    ) -> None:
        self._find = find
        self._nodes = nodes
        self._controller = controller
        self._changed: set[tuple[str, str]] = set()
        self._lost: set[str] = set()
        self._ahead_s: dict[str, float] = {}
        """of the host's clock, by node"""
        self._stopped: dict[str, int] = {}
        self._slowed: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for node in list(self._slowed):
            await self._mend(f"the pace of {node}", self.slow_node(node, 1.0))
        for pid in self._stopped.values():
            _signal(pid, signal.SIGCONT)
        self._stopped.clear()
        for source, target in sorted(self._changed):
            await self._mend(f"the link {source} to {target}", self.restore_link(source, target))
        for node in sorted(self._lost):
            await self._mend(f"the device of {node}", self.restore_device(node))
        for node in sorted(self._ahead_s):
            right = asyncio.to_thread(self._nodes.set_clock, node, 0.0)
            await self._mend(f"the clock of {node}", right)

    async def _mend(self, what: str, mending: Awaitable[None]) -> None:
        try:
            await mending
        except Exception:  # noqa: BLE001 - whatever it was, the others are still to be mended
            _log.exception("%s stays as the timeline left it", what)

    async def kill_node(self, node: str) -> None:
        """SIGKILL. Ray Serve starts the node anew."""
        pid = await self._pid(node)
        await self.slow_node(node, 1.0)
        self._stopped.pop(node, None)
        self._ahead_s.pop(node, None)
        _signal(pid, signal.SIGKILL)

    async def stop_node(self, node: str) -> None:
        """SIGSTOP."""
        pid = await self._pid(node)
        await self.slow_node(node, 1.0)
        self._stopped[node] = pid
        _signal(pid, signal.SIGSTOP)

    async def resume_node(self, node: str) -> None:
        """SIGCONT, to the process that was stopped."""
        pid = self._stopped.pop(node, None)
        _signal(await self._pid(node) if pid is None else pid, signal.SIGCONT)

    async def slow_node(self, node: str, factor: float) -> None:
        """Let it run for 1/`factor` of the time, until the next such event or its process ends."""
        slowed = self._slowed.pop(node, None)
        if slowed is not None:
            slowed.cancel()
            with suppress(asyncio.CancelledError):
                await slowed
        if factor > 1.0:
            pid = await self._pid(node)
            self._slowed[node] = asyncio.create_task(_run_in_slices(pid, factor))

    async def cut_link(self, source: str, target: str) -> None:
        """`source` refuses what would cross the link. A node that is started anew has it again."""
        await self._change(source, target, LinkCondition(share=0.0))

    async def silence_link(self, source: str, target: str) -> None:
        """`source` holds what would cross the link, and reads nothing from it. A node that is
        started anew has it again."""
        await self._change(source, target, LinkCondition(silent=True))

    async def restore_link(self, source: str, target: str) -> None:
        """All of the bandwidth."""
        await self._change(source, target, LinkCondition())
        self._changed.discard((source, target))

    async def slow_link(self, source: str, target: str, factor: float) -> None:
        """1/`factor` of the bandwidth."""
        await self._change(source, target, LinkCondition(share=1.0 / factor))

    async def lose_device(self, node: str) -> None:
        """Batches and loads fail between the node and its device, also in a process that replaces
        the node's."""
        self._lost.add(node)
        await asyncio.to_thread(self._nodes.switch_device, node, True)

    async def restore_device(self, node: str) -> None:
        """A process that had lost the device is still replaced."""
        await asyncio.to_thread(self._nodes.switch_device, node, False)
        self._lost.discard(node)

    async def jump_clock(self, node: str, by_s: float) -> None:
        """Of this node only: the host's clock stays. A node that is started anew has the host's."""
        self._ahead_s[node] = self._ahead_s.get(node, 0.0) + by_s
        await asyncio.to_thread(self._nodes.set_clock, node, self._ahead_s[node])

    async def kill_controller(self, controller: Controller) -> None:
        """SIGKILL. Ray starts Serve's controller and the store anew; nobody the live loop."""
        pid = await asyncio.to_thread(self._controller, controller)
        if pid is None:
            _log.warning("there is no process of the %s to kill now", controller)
        else:
            _signal(pid, signal.SIGKILL)

    async def _change(self, source: str, target: str, condition: LinkCondition) -> None:
        self._changed.add((source, target))
        await asyncio.to_thread(self._nodes.change_link, source, target, condition)

    async def _pid(self, node: str) -> int:
        return await asyncio.to_thread(self._find, node)


def find_process(state: ClusterState, node: str) -> int:
    """The process id of `node` in the local cluster. Raises `ClusterError` if it has none now."""
    pid = _titled(state, f"ServeReplica:{resource_of(node)}:")
    if pid is None:
        raise ClusterError(
            f"node {node!r} has no process on this host now; is it being started anew?"
        )
    return pid


def find_controller(state: ClusterState, controller: Controller) -> int | None:
    """The process id of one of Ray's controllers in the local cluster; None if none runs now."""
    return _titled(state, CONTROLLERS[controller])


def _titled(state: ClusterState, title: str) -> int | None:
    """The cluster's process with `title` in its command line."""
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, environment = process.info["cmdline"] or (), process.info["environ"] or {}
        if title in " ".join(command) and environment.get(MARK) == state.mark:
            return int(process.pid)
    return None


def timeline_beside(
    timeline: Sequence[TimelineEvent],
    state: ClusterState,
    nodes: NodeFaults,
    find_loop: Callable[[], int | None] = lambda: None,
    *,
    on_event: Callable[[TimelineEvent, float], None] | None = None,
) -> Callable[[], Awaitable[None]] | None:
    """What is to run beside the traffic, so that the events of `timeline` come about; None if the
    schedule has them all. `find_loop` gives the process id of the live loop, if one runs.

    What stands still, is slow, cut or lost stays so until the traffic ends, and is mended then.
    Raises `InputError` for an event that names nobody of the cluster.
    """
    check_timeline(timeline, state.topology)
    if not any(event.name in LocalFaults.supported for event in timeline):
        return None

    async def beside() -> None:
        async with LocalFaults(
            lambda node: find_process(state, node),
            nodes,
            lambda each: find_loop() if each is Controller.LOOP else find_controller(state, each),
        ) as injector:
            await fire_timeline(timeline, injector, on_event=on_event)
            await asyncio.Event().wait()

    return beside


async def _run_in_slices(pid: int, factor: float) -> None:
    run_s = SLICE_S / factor
    try:
        while _signal(pid, signal.SIGCONT):
            await asyncio.sleep(run_s)
            _signal(pid, signal.SIGSTOP)
            await asyncio.sleep(SLICE_S - run_s)
    finally:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> bool:
    """Whether the process was there to take it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
