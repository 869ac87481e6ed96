"""A link without sockets: the image is at the far node at once, its time is the uplink's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from serving.errors import RefusalReason, RefusedError
from serving.node.device.served import Image
from serving.node.links.messages import AskOutcome
from serving.node.links.peer_connection import UplinkTimeouts
from serving.node.node_core import NodeCore
from serving.routing.routes import Ask
from serving.simulation.process import Process

__all__ = ["SimulatedTransport"]


class SimulatedTransport:
    """`Transport` to the node that `far` gives now; None while that node is down.

    `process` is that node's. While it stands still it takes what is sent and answers nothing: after
    `silence_s` queries that are out count as lost, and the next ones wait in vain for a new
    connection, all together for `queue_s`, as on a live link.
    """

    def __init__(
        self,
        far: Callable[[], NodeCore | None],
        process: Process,
        timeouts: UplinkTimeouts | None = None,
    ) -> None:
        self._far = far
        self._process = process
        self._timeouts = timeouts or UplinkTimeouts()
        self._is_cut = False
        self._out: dict[asyncio.Timeout, None] = {}
        """patience of the queries that are out"""
        self._lost_s: float | None = None
        """when the silence of a node that stands still has lasted too long"""
        self._attempt_s: float | None = None
        """when the first query after that asked for a new connection"""
        process.watch(self._on_change)

    async def exchange(
        self,
        asks: tuple[Ask, ...],
        image: Image,
        latest_s: float | None,
        on_sent: Callable[[], None],
    ) -> list[AskOutcome]:
        """See `Transport.exchange`. A node that went down meanwhile is found lost when its answer
        is due."""
        far = self._far()
        if far is None or self._is_cut:
            raise RefusedError(RefusalReason.PEER_UNREACHABLE)
        if self._process.stands and self._lost_s is not None and _now_s() >= self._lost_s:
            await self._reconnect()
        on_sent()
        patience = asyncio.timeout(None)
        try:
            async with patience:
                self._out[patience] = None
                self._watch_silence()
                await self._process.running()
                remaining_s = None if latest_s is None else latest_s - _now_s()
                outcomes = await far.serve_forwarded(asks, image, remaining_s)
                await self._process.running()
        except TimeoutError:
            raise RefusedError(RefusalReason.PEER_LOST) from None
        finally:
            self._out.pop(patience, None)
        if self._far() is not far or self._is_cut:
            raise RefusedError(RefusalReason.PEER_LOST)
        return outcomes

    def refusal(self) -> RefusedError | None:
        """See `Transport.refusal`: a node that is down closes its connections, which is seen."""
        if self._is_cut or self._far() is None:
            return RefusedError(RefusalReason.PEER_UNREACHABLE)
        return None

    def prepare(self) -> None:
        """See `Transport.prepare`."""

    def close(self) -> None:
        """See `Transport.close`."""

    def cut(self, cut: bool) -> None:
        """See `Transport.cut`."""
        self._is_cut = cut

    def _on_change(self) -> None:
        if self._process.stands:
            self._watch_silence()
        else:
            self._lost_s = self._attempt_s = None
            for patience in self._out:
                if not patience.expired():
                    patience.reschedule(None)

    def _watch_silence(self) -> None:
        """Silence counts from when a query is out and the far node stands still."""
        if not self._process.stands or not self._out:
            return
        if self._lost_s is None:
            self._lost_s = _now_s() + self._timeouts.silence_s
        for patience in self._out:
            if patience.when() is None:
                patience.reschedule(self._lost_s)

    async def _reconnect(self) -> None:
        if self._attempt_s is None:
            self._attempt_s = _now_s()
        try:
            async with asyncio.timeout_at(self._attempt_s + self._timeouts.queue_s):
                await self._process.running()
        except TimeoutError:
            raise RefusedError(RefusalReason.PEER_UNREACHABLE) from None


def _now_s() -> float:
    return asyncio.get_running_loop().time()
