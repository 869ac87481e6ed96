"""Faults of a local cluster: signals to nodes, which are processes of this host, and slower links.

A straggler is a process that stands still for a part of every 40 ms: whatever it does then takes
that much longer, as on a slower or shared machine.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

from cluster.environment import MARK
from cluster.providers.local import resource_of
from cluster.providers.state import ClusterError, ClusterState
from cluster.timeline import TimelineEvent, check_timeline
from serving.traffic.faults import EVERY_FAULT, fire_timeline

__all__ = ["LocalFaults", "find_process", "timeline_beside"]

SLICE_S = 0.04
"""a straggler runs and stands still once in so long; a tenth of the demo's windows"""


class LocalFaults:
    """`FaultInjector` of a local cluster. `find(node)` gives the process id of a node as it is now,
    `change_link(source, target, share)` leaves a share of a link's bandwidth, 0 to cut it; both may
    block.

    Use as an asynchronous context manager: at its end every node that still stands still goes on,
    and every link has its bandwidth again.
    """

    supported = EVERY_FAULT

    def __init__(
        self, find: Callable[[str], int], change_link: Callable[[str, str, float], None]
    ) -> None:
        self._find = find
        self._change_link = change_link
        self._changed: set[tuple[str, str]] = set()
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
            await self.slow_node(node, 1.0)
        for pid in self._stopped.values():
            _signal(pid, signal.SIGCONT)
        self._stopped.clear()
        for source, target in sorted(self._changed):
            await self.restore_link(source, target)

    async def kill_node(self, node: str) -> None:
        """SIGKILL. Ray Serve starts the node anew."""
        pid = await self._pid(node)
        await self.slow_node(node, 1.0)
        self._stopped.pop(node, None)
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
        await self._change(source, target, 0.0)

    async def restore_link(self, source: str, target: str) -> None:
        """All of the bandwidth."""
        await self._change(source, target, 1.0)
        self._changed.discard((source, target))

    async def slow_link(self, source: str, target: str, factor: float) -> None:
        """1/`factor` of the bandwidth."""
        await self._change(source, target, 1.0 / factor)

    async def _change(self, source: str, target: str, share: float) -> None:
        self._changed.add((source, target))
        await asyncio.to_thread(self._change_link, source, target, share)

    async def _pid(self, node: str) -> int:
        return await asyncio.to_thread(self._find, node)


def find_process(state: ClusterState, node: str) -> int:
    """The process id of `node` in the local cluster. Raises `ClusterError` if it has none now."""
    title = f"ServeReplica:{resource_of(node)}:"
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, environment = process.info["cmdline"] or (), process.info["environ"] or {}
        if title in " ".join(command) and environment.get(MARK) == state.mark:
            return int(process.pid)
    raise ClusterError(f"node {node!r} has no process on this host now; is it being started anew?")


def timeline_beside(
    timeline: Sequence[TimelineEvent],
    state: ClusterState,
    change_link: Callable[[str, str, float], None],
) -> Callable[[], Awaitable[None]] | None:
    """What is to run beside the traffic, so that the events of `timeline` come about; None if the
    schedule has them all.

    What stands still, is slow or cut stays so until the traffic ends, and is mended then. Raises
    `InputError` for an event that names nobody of the cluster.
    """
    check_timeline(timeline, state.topology)
    if not any(event.name in LocalFaults.supported for event in timeline):
        return None

    async def beside() -> None:
        async with LocalFaults(lambda node: find_process(state, node), change_link) as injector:
            await fire_timeline(timeline, injector)
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
