"""Faults of a simulated system, by the events of a timeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from cluster.timeline import Controller
from serving.deploy.health_checks import HANG_S, HEALTH_PERIOD_S, LOOKS
from serving.node.links.link_condition import LinkCondition
from serving.simulation.simulated_system import SimulatedSystem
from serving.traffic.faults import EVERY_FAULT

__all__ = ["CONTROLLER_AWAY_S", "RESTART_S", "SimulatedFaults"]

RESTART_S = 8.0
"""from the end of a node until another is started in its place; its models take their time then.
Ray Serve looks after its replicas every few seconds, and a new process imports torch first."""
CONTROLLER_AWAY_S = 5.0
"""from the end of Serve's controller until Ray has started another one, which looks after nodes"""


class SimulatedFaults:
    """`FaultInjector` of a `SimulatedSystem`; a node that is killed is started anew after
    `restart_s` seconds, one that stands still for `HANG_S` is killed, and so is one whose device
    is lost to it. `kill_loop` ends the live loop, if one runs."""

    supported = EVERY_FAULT

    def __init__(
        self,
        system: SimulatedSystem,
        restart_s: float = RESTART_S,
        kill_loop: Callable[[], object] = lambda: None,
    ) -> None:
        self._system = system
        self._restart_s = restart_s
        self._kill_loop = kill_loop
        self._controller_back_s = 0.0
        self._ahead_s: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._hangs: dict[str, asyncio.Task[None]] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}

    async def cut_link(self, source: str, target: str) -> None:
        """Queries on it are refused."""
        self._change(source, target, LinkCondition(share=0.0))

    async def silence_link(self, source: str, target: str) -> None:
        """Queries on it wait in vain."""
        self._change(source, target, LinkCondition(silent=True))

    async def restore_link(self, source: str, target: str) -> None:
        """All of the bandwidth."""
        self._change(source, target, LinkCondition())

    async def slow_link(self, source: str, target: str, factor: float) -> None:
        """1/`factor` of the bandwidth."""
        self._change(source, target, LinkCondition(share=1.0 / factor))

    async def kill_node(self, node: str) -> None:
        """What it holds and does is lost."""
        self._forget_hang(node)
        self._ahead_s.pop(node, None)
        self._system.kill(node)
        _restarting = self._begin(self._restart(node))

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

    async def lose_device(self, node: str) -> None:
        """Serve looks after the node, and replaces it once it says that it has to be."""
        self._system.switch_device(node, True)
        watch = self._watches.get(node)
        if watch is None or watch.done():
            self._watches[node] = self._begin(self._watch_device(node))

    async def restore_device(self, node: str) -> None:
        """A process that has lost it still has to be replaced."""
        self._system.switch_device(node, False)

    async def jump_clock(self, node: str, by_s: float) -> None:
        """Nothing in simulated time reads it: the nodes' code does not ask for the time of day."""
        self._ahead_s[node] = self._ahead_s.get(node, 0.0) + by_s
        with suppress(KeyError):  # a node that is down has the host's clock when it starts
            self._system.node(node).set_clock(self._ahead_s[node])

    async def kill_controller(self, controller: Controller) -> None:
        """Serve's: no node is started anew until it is back. There is no store of assignments here:
        a running system goes on without it, until it is back after a second or two."""
        if controller is Controller.SERVE:
            self._controller_back_s = _now_s() + CONTROLLER_AWAY_S
        elif controller is Controller.LOOP:
            self._kill_loop()

    def _change(self, source: str, target: str, condition: LinkCondition) -> None:
        self._system.node(source).change_link(target, condition)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _forget_hang(self, node: str) -> None:
        if hang := self._hangs.pop(node, None):
            hang.cancel()

    async def _take_for_dead(self, node: str) -> None:
        await asyncio.sleep(HANG_S)
        del self._hangs[node]
        await self.kill_node(node)

    async def _restart(self, node: str) -> None:
        await self._controller()
        await asyncio.sleep(self._restart_s)
        await self._system.restart(node)

    async def _watch_device(self, node: str) -> None:
        """Look at a node as Serve does, as long as anything is wrong with its device."""
        failed = 0
        while self._system.device_is_off(node):
            await asyncio.sleep(HEALTH_PERIOD_S)
            await self._controller()
            failed = failed + 1 if self._system.fails(node) else 0
            if failed == LOOKS:
                failed = 0
                await self.kill_node(node)

    async def _controller(self) -> None:
        """Wait until Serve's controller is there."""
        await asyncio.sleep(max(0.0, self._controller_back_s - _now_s()))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
