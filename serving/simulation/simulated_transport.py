"""A link without sockets: the image is at the far node at once, its time is the uplink's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from serving.errors import RefusalReason, RefusedError
from serving.node.device.served import Image
from serving.node.links.link_condition import LinkCondition
from serving.node.links.messages import AskOutcome
from serving.node.links.peer_connection import UplinkTimeouts
from serving.node.node_core import NodeCore
from serving.routing.routes import Ask
from serving.simulation.loop_clock import LoopClock
from serving.simulation.process import Process

__all__ = ["SimulatedTransport"]


class SimulatedTransport:
    """`Transport` to the node that `far` gives now; None while that node is down.

    `process` is that node's. While it stands still, or the link is silent, what is sent is held and
    nothing is answered: after `silence_s` queries that are out count as lost, and the next ones
    wait in vain for a new connection, all together for `queue_s`, as on a live link.
    """

    def __init__(
        self,
        far: Callable[[], NodeCore | None],
        process: Process,
        clock: LoopClock,
        timeouts: UplinkTimeouts | None = None,
    ) -> None:
        self._far = far
        self._process = process
        self._clock = clock
        self._timeouts = timeouts or UplinkTimeouts()
        self._condition = LinkCondition()
        self._is_cut = False
        self._line = Process()
        """the link itself, which stands still while it is silent"""
        self._is_silent = process.stands
        """whether nothing crosses it, or nobody is there to take it"""
        self._out: dict[asyncio.Task[Any], bool] = {}
        """the tasks of the queries that are out, and whether they were told that no answer will
        come"""
        self._alarm: asyncio.TimerHandle | None = None
        """that gives them up"""
        self._lost_s: float | None = None
        """when the silence of the far side has lasted too long"""
        self._attempt_s: float | None = None
        """when the first query after that asked for a new connection"""
        process.watch(self._on_change)
        self._line.watch(self._on_change)

    async def exchange(
        self,
        asks: tuple[Ask, ...],
        image: Image,
        latest_s: float | None,
        on_sent: Callable[[], None],
    ) -> list[AskOutcome]:
        """See `Transport.exchange`. A node that went down meanwhile is found lost when its answer
        is due."""
        if self.refusal() is not None:
            raise RefusedError(RefusalReason.PEER_UNREACHABLE)
        if self._is_silent and self._lost_s is not None and self._clock() >= self._lost_s:
            await self._reconnect()
        on_sent()
        task, out = asyncio.current_task(self._clock.loop), self._out
        assert task is not None
        out[task] = False
        try:
            if self._is_silent:
                self._watch_silence()
                await self._carried()
            far = self._far()
            if far is None:
                raise RefusedError(RefusalReason.PEER_LOST)
            remaining_s = None if latest_s is None else latest_s - self._clock()
            outcomes = await far.serve_forwarded(asks, image, remaining_s)
            if self._is_silent:
                await self._carried()
        except asyncio.CancelledError:
            if out[task] and task.uncancel() == 0:  # by `_give_up` alone
                raise RefusedError(RefusalReason.PEER_LOST) from None
            raise
        finally:
            del out[task]
        if self._far() is not far or self._is_cut:
            raise RefusedError(RefusalReason.PEER_LOST)
        return outcomes

    async def probe(self, size_bytes: int, on_sent: Callable[[], None]) -> float:
        """See `Transport.probe`: they arrive when they are sent, once the link carries anything."""
        if self.refusal() is not None:
            raise RefusedError(RefusalReason.PEER_UNREACHABLE)
        on_sent()
        await self._carried()
        return self._clock()

    def refusal(self) -> RefusedError | None:
        """See `Transport.refusal`: a node that is down closes its connections, which is seen
        unless the link is silent."""
        if self._is_cut or (self._far() is None and not self._condition.silent):
            return RefusedError(RefusalReason.PEER_UNREACHABLE)
        return None

    def prepare(self) -> None:
        """See `Transport.prepare`."""

    def close(self) -> None:
        """See `Transport.close`."""

    def change(self, condition: LinkCondition) -> None:
        """See `Transport.change`."""
        self._condition = condition
        self._is_cut = condition.is_cut
        if condition.silent:
            self._line.stop()
        else:
            self._line.go_on()

    async def _carried(self) -> None:
        """Wait until something crosses the link, and somebody is there to take it."""
        while self._is_silent:
            await self._line.running()
            await self._process.running()

    def _on_change(self) -> None:
        self._is_silent = self._process.stands or self._line.stands
        if self._is_silent:
            self._watch_silence()
        else:
            self._lost_s = self._attempt_s = None
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None

    def _watch_silence(self) -> None:
        """Silence counts from when a query is out and the far side does not answer."""
        if not self._is_silent or not self._out:
            return
        if self._lost_s is None:
            self._lost_s = self._clock() + self._timeouts.silence_s
            self._alarm = self._clock.loop.call_at(self._lost_s, self._give_up)

    def _give_up(self) -> None:
        for task, told in list(self._out.items()):
            if not told:
                self._out[task] = True
                task.cancel()

    async def _reconnect(self) -> None:
        if self._attempt_s is None:
            self._attempt_s = self._clock()
        try:
            async with asyncio.timeout_at(self._attempt_s + self._timeouts.queue_s):
                await self._carried()
        except TimeoutError:
            raise RefusedError(RefusalReason.PEER_UNREACHABLE) from None
