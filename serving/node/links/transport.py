"""What an uplink sends queries with: a connection between two processes, or a simulated one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from serving.errors import RefusedError
from serving.node.device.served import Image
from serving.node.links.link_condition import LinkCondition
from serving.node.links.messages import AskOutcome
from serving.routing.routes import Ask

__all__ = ["Transport"]


class Transport(Protocol):
    """The way to one node above. The uplink that owns it holds the link's budget."""

    async def exchange(
        self,
        asks: tuple[Ask, ...],
        image: Image,
        latest_s: float | None,
        on_sent: Callable[[], None],
    ) -> list[AskOutcome]:
        """Send one image for all `asks` and wait for their outcomes, one for each ask in order.

        The far node is asked to answer by `latest_s`, on this node's clock. `on_sent` is called
        when the image has been given to the link. Raises `RefusedError` if the far node cannot be
        reached, goes away or stays silent.
        """
        ...

    async def probe(self, size_bytes: int, on_sent: Callable[[], None]) -> float:
        """Send so many bytes for nobody, and return when they arrived, on the far node's clock. As
        `exchange` otherwise."""
        ...

    def refusal(self) -> RefusedError | None:
        """Why nothing can be sent now, where that is known without trying: queries then go
        elsewhere at once, before they wait for bandwidth. None where it is to be tried."""
        ...

    def prepare(self) -> None:
        """Connect now, so that the first query need not wait for it."""
        ...

    def close(self) -> None:
        """End the connection; queries on it are refused."""
        ...

    def change(self, condition: LinkCondition) -> None:
        """Be as `condition` says from now on. Of a way that is cut, queries on it are refused, and
        all others at once; on one that is silent they wait in vain for a sign of life."""
        ...
