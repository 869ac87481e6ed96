"""Faults of a simulated system, by the events of a timeline."""

from __future__ import annotations

import asyncio

from serving.simulation.simulated_system import SimulatedSystem

__all__ = ["SimulatedFaults"]

RESTART_S = 8.0
"""from the end of a node until another is started in its place; its models take their time then.
Ray Serve looks after its replicas every few seconds, and a new process imports torch first."""


class SimulatedFaults:
    """`FaultInjector` of a `SimulatedSystem`; a node that is killed is started anew after
    `restart_s` seconds. A node that stands still is not simulated."""

    supported = frozenset({"cut_link", "restore_link", "slow_link", "kill_node", "slow_node"})

    def __init__(self, system: SimulatedSystem, restart_s: float = RESTART_S) -> None:
        self._system = system
        self._restart_s = restart_s
        self._restarts: set[asyncio.Task[None]] = set()

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
        self._system.kill(node)
        restart = asyncio.create_task(self._restart(node))
        self._restarts.add(restart)
        restart.add_done_callback(self._restarts.discard)

    async def stop_node(self, node: str) -> None:
        """Not simulated. Raises `NotImplementedError`; `supported` says so beforehand."""
        raise NotImplementedError(f"a node that stands still is not simulated: {node}")

    async def resume_node(self, node: str) -> None:
        """Not simulated. Raises `NotImplementedError`; `supported` says so beforehand."""
        raise NotImplementedError(f"a node that stands still is not simulated: {node}")

    async def slow_node(self, node: str, factor: float) -> None:
        """Batches that begin from now on take `factor` times as long."""
        self._system.slow(node, factor)

    async def _restart(self, node: str) -> None:
        await asyncio.sleep(self._restart_s)
        await self._system.restart(node)
