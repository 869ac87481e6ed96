"""What a node tells whoever counts: each event once, on the node's event loop, in seconds.

A node calls its observer between two turns of its loop, so a method must return at once and must
not raise. `SILENT` is the observer of a node that nobody watches.
"""

from __future__ import annotations

from typing import Protocol

from serving.errors import RefusalReason
from serving.node.device.observer import DeviceObserver, SilentDeviceObserver
from serving.routing.routes import RouteTable, Target

__all__ = ["SILENT", "NodeObserver"]


class NodeObserver(DeviceObserver, Protocol):
    """The events of one node: its device's, and those of its queries, links and plan."""

    def on_answer(self, task: str, target: Target, spent_s: float, link_s: float) -> None:
        """A query that arrived at this (client) node was answered `spent_s` after it arrived."""
        ...

    def on_refusal(self, task: str, reason: RefusalReason, times: int = 1) -> None:
        """So many queries that arrived at this (client) node were refused."""
        ...

    def on_spill(self, task: str, reason: RefusalReason) -> None:
        """A query that arrived at this (client) node was answered on another way than its plan's,
        which refused it with `reason`."""
        ...

    def on_detour(self, task: str, reason: RefusalReason) -> None:
        """A query that arrived at this (client) node was answered on another way than its plan's,
        which failed with `reason`."""
        ...

    def on_link(self, target: str, spent_s: float, size_bytes: int) -> None:
        """An image went up the link to `target`; `spent_s` is its wait for bandwidth, its
        transmission and half the round trip."""
        ...

    def on_plan(self, table: RouteTable) -> None:
        """The node follows `table` from now on."""
        ...


class _Silent(SilentDeviceObserver):
    """Looks away."""

    def on_answer(self, task: str, target: Target, spent_s: float, link_s: float) -> None:
        """Nothing."""

    def on_refusal(self, task: str, reason: RefusalReason, times: int = 1) -> None:
        """Nothing."""

    def on_spill(self, task: str, reason: RefusalReason) -> None:
        """Nothing."""

    def on_detour(self, task: str, reason: RefusalReason) -> None:
        """Nothing."""

    def on_link(self, target: str, spent_s: float, size_bytes: int) -> None:
        """Nothing."""

    def on_plan(self, table: RouteTable) -> None:
        """Nothing."""


SILENT: NodeObserver = _Silent()
