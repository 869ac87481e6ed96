"""A link without sockets: the image is at the far node at once, its time is the uplink's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from serving.errors import RefusalReason, RefusedError
from serving.node.device.served import Image
from serving.node.links.messages import AskOutcome
from serving.node.node_core import NodeCore
from serving.routing.routes import Ask

__all__ = ["SimulatedTransport"]


class SimulatedTransport:
    """`Transport` to the node that `far` gives now; None while that node is down."""

    def __init__(self, far: Callable[[], NodeCore | None]) -> None:
        self._far = far
        self._is_cut = False

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
        on_sent()
        remaining_s = None
        if latest_s is not None:
            remaining_s = latest_s - asyncio.get_running_loop().time()
        outcomes = await far.serve_forwarded(asks, image, remaining_s)
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
