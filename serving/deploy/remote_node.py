"""A node behind a Ray Serve handle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ray.exceptions import RayActorError

from serving.deploy.calls import call_until_answered
from serving.deploy.replica import Endpoint
from serving.logs.read import Read, ReadPage
from serving.node.links.link_condition import LinkCondition
from serving.node.links.link_probe import LinkProbe, ProbeLimits
from serving.node.snapshot import NodeSnapshot
from serving.routing.routes import RouteTable

__all__ = ["RemoteNode"]

CALL_TIMEOUT_S = 120.0
R = TypeVar("R")


class RemoteNode:
    """`NodeControl` of a node that runs as a Serve application; `handle` is the application's.

    Every call raises `ClusterError` if the node gives no answer within `CALL_TIMEOUT_S`. Within
    that time Serve replaces a node that was killed or hangs, and each of these calls may be made
    twice; so one that was lost with the node's process is made again.
    """

    def __init__(self, name: str, handle: Any) -> None:
        self.name = name
        self._handle = handle

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        """See `NodeControl.load`."""
        times_s: dict[str, float] = await self._answer(
            "load", lambda: self._handle.load.remote(models)
        )
        return times_s

    async def route(self, table: RouteTable) -> None:
        """See `NodeControl.route`."""
        await self._answer("route", lambda: self._handle.route.remote(table))

    async def table(self) -> RouteTable:
        """See `NodeControl.table`."""
        table: RouteTable = await self._answer("table", self._handle.table.remote)
        return table

    async def drained(self, version: int) -> None:
        """See `NodeControl.drained`."""
        await self._answer("drained", lambda: self._handle.drained.remote(version))

    async def retire(self, version: int, keep: frozenset[str]) -> dict[str, float]:
        """See `NodeControl.retire`."""
        times_s: dict[str, float] = await self._answer(
            "retire", lambda: self._handle.retire.remote(version, keep)
        )
        return times_s

    async def change_link(self, target: str, condition: LinkCondition) -> None:
        """See `NodeControl.change_link`."""
        await self._answer(
            "change_link", lambda: self._handle.change_link.remote(target, condition)
        )

    async def probe_link(self, target: str, limits: ProbeLimits) -> LinkProbe:
        """See `NodeControl.probe_link`."""
        found: LinkProbe = await self._answer(
            "probe_link", lambda: self._handle.probe_link.remote(target, limits)
        )
        return found

    async def begin_link_traces(self) -> None:
        """See `NodeControl.begin_link_traces`."""
        await self._answer("begin_link_traces", self._handle.begin_link_traces.remote)

    async def switch_device(self, lost: bool) -> None:
        """See `NodeControl.switch_device`."""
        await self._answer("switch_device", lambda: self._handle.switch_device.remote(lost))

    async def set_clock(self, ahead_s: float) -> None:
        """See `NodeControl.set_clock`."""
        await self._answer("set_clock", lambda: self._handle.set_clock.remote(ahead_s))

    async def snapshot(self) -> NodeSnapshot:
        """See `NodeControl.snapshot`."""
        seen: NodeSnapshot = await self._answer("snapshot", self._handle.snapshot.remote)
        return seen

    async def log_lines(self, read: Read) -> ReadPage:
        """See `NodeControl.log_lines`."""
        page: ReadPage = await self._answer(
            "log_lines", lambda: self._handle.log_lines.remote(read)
        )
        return page

    async def endpoint(self) -> Endpoint:
        """Where the node listens now."""
        endpoint: Endpoint = await self._answer("endpoint", self._handle.endpoint.remote)
        return endpoint

    async def _answer(self, method: str, call: Callable[[], Awaitable[R]]) -> R:
        return await call_until_answered(
            call,
            f"node {self.name} gave no answer to `{method}`",
            RayActorError,
            timeout_s=CALL_TIMEOUT_S,
        )
