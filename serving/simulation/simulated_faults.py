"""Faults of a simulated system, by the events of a timeline."""

from __future__ import annotations

import asyncio

from serving.deploy.health_checks import HANG_S
from serving.simulation.simulated_system import SimulatedSystem
from serving.traffic.faults import EVERY_FAULT

__all__ = ["SimulatedFaults"]

RESTART_S = 8.0
"""from the end of a node until another is started in its place; its models take their time then.
Ray Serve looks after its replicas every few seconds, and a new process imports torch first."""


class SimulatedFaults:
    """`FaultInjector` of a `SimulatedSystem`; a node that is killed is started anew after
    `restart_s` seconds, one that stands still for `HANG_S` is killed."""

    supported = EVERY_FAULT

    def __init__(self, system: SimulatedSystem, restart_s: float = RESTART_S) -> None:
        self._system = system
        self._restart_s = restart_s
        self._restarts: set[asyncio.Task[None]] = set()
        self._hangs: dict[str, asyncio.Task[None]] = {}

    async def cut_link(self, source: str, target: str) -> None:
        """Queries on it are refused."""
        self._system.node(source).change_link(target, 0.0)

    async def restore_link(self, source: str, target: str) -> None:
        """All of the bandwidth."""
        self._system.node(source).change_link(target, 1.0)

    async def slow_link(self, source: str, target: str, factor: float) -> None:
        """1/`factor` of the bandwidth."""
        self._system.node(source).change_link(target, 1.0 / factor)

    async def kill_node(self, node: str) -> None:
        """What it holds and does is lost."""
        self._forget_hang(node)
        self._system.kill(node)
        restart = asyncio.create_task(self._restart(node))
        self._restarts.add(restart)
        restart.add_done_callback(self._restarts.discard)

    async def stop_node(self, node: str) -> None:
        """It stands still, and is taken for dead after `HANG_S`."""
        self._system.stand_still(node)
        self._forget_hang(node)
        self._hangs[node] = asyncio.create_task(self._take_for_dead(node))

    async def resume_node(self, node: str) -> None:
        """It goes on."""
        self._forget_hang(node)
        self._system.go_on(node)

    async def slow_node(self, node: str, factor: float) -> None:
        """Batches that begin from now on take `factor` times as long."""
        self._system.slow(node, factor)

    def _forget_hang(self, node: str) -> None:
        if hang := self._hangs.pop(node, None):
            hang.cancel()

    async def _take_for_dead(self, node: str) -> None:
        await asyncio.sleep(HANG_S)
        del self._hangs[node]
        await self.kill_node(node)

    async def _restart(self, node: str) -> None:
        await asyncio.sleep(self._restart_s)
        await self._system.restart(node)
