"""What a node tells whoever counts: each event once, on the node's event loop, in seconds.

A node calls its observer between two turns of its loop, so a method must return at once and must
not raise. `SILENT` is the observer of a node that nobody watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from serving.node.router import RouteTable, Target

__all__ = ["SILENT", "NodeObserver"]


class NodeObserver(Protocol):
    """The events of one node."""

    def on_batch(
        self,
        model: str,
        size: int,
        release: str,
        queue_s: Sequence[float],
        batch_wait_s: float,
        compute_s: float,
    ) -> None:
        """A batch of `size` images came back from the device.

        `release` says why it closed (`batching.Release`), `queue_s` how long each of its queries
        waited for that, `batch_wait_s` how long the closed batch waited for the device.
        """
        ...

    def on_answer(self, task: str, target: Target, spent_s: float, link_s: float) -> None:
        """A query that arrived at this (client) node was answered `spent_s` after it arrived."""
        ...

    def on_refusal(self, task: str, reason: str, times: int = 1) -> None:
        """So many queries that arrived at this (client) node were refused."""
        ...

    def on_load(self, model: str, spent_s: float) -> None:
        """A model was loaded and warmed."""
        ...

    def on_unload(self, model: str, spent_s: float) -> None:
        """A model's last queries were answered and it was freed."""
        ...

    def on_link(self, target: str, spent_s: float, size_bytes: int) -> None:
        """An image went up the link to `target`; `spent_s` is its wait for bandwidth, its
        transmission and half the round trip."""
        ...

    def on_plan(self, table: RouteTable) -> None:
        """The node follows `table` from now on."""
        ...


class _Silent:
    """Looks away."""

    def on_batch(
        self,
        model: str,
        size: int,
        release: str,
        queue_s: Sequence[float],
        batch_wait_s: float,
        compute_s: float,
    ) -> None:
        """Nothing."""

    def on_answer(self, task: str, target: Target, spent_s: float, link_s: float) -> None:
        """Nothing."""

    def on_refusal(self, task: str, reason: str, times: int = 1) -> None:
        """Nothing."""

    def on_load(self, model: str, spent_s: float) -> None:
        """Nothing."""

    def on_unload(self, model: str, spent_s: float) -> None:
        """Nothing."""

    def on_link(self, target: str, spent_s: float, size_bytes: int) -> None:
        """Nothing."""

    def on_plan(self, table: RouteTable) -> None:
        """Nothing."""


SILENT: NodeObserver = _Silent()
