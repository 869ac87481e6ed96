"""What may be asked of a node besides queries: its models, its routes, its counters.

`NodeControl` is all that a rollout and the live loop need of a node. Live, the calls travel over
Ray (`serving.deploy.remote_node`); in tests they stay in the process (`ServerControl`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from serving.errors import raise_first
from serving.logs.read import Read, ReadPage, log_files_of, read_on
from serving.node.links.link_condition import LinkCondition
from serving.node.links.link_probe import LinkProbe, ProbeLimits
from serving.node.node_core import NodeCore
from serving.node.snapshot import NodeSnapshot
from serving.routing.routes import RouteTable

__all__ = ["NodeControl", "ServerControl", "call_each"]

R = TypeVar("R")


class NodeControl(Protocol):
    """The control calls of one node. A plan arrives as `load`, `route`, `drained`, `retire`."""

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        """Load and warm what is not there yet; seconds by model."""
        ...

    async def route(self, table: RouteTable) -> None:
        """Follow `table` from the next query on; an older version than the present is ignored."""
        ...

    async def table(self) -> RouteTable:
        """The routes in force."""
        ...

    async def drained(self, version: int) -> None:
        """Wait until no query that was routed by a plan older than `version` is in flight."""
        ...

    async def retire(self, version: int, keep: frozenset[str]) -> dict[str, float]:
        """Unload every model not in `keep`, once its queries are done; seconds by model. Nothing is
        unloaded for a plan `version` older than the present."""
        ...

    async def change_link(self, target: str, condition: LinkCondition) -> None:
        """Let the link to `target` be as `condition` says from now on."""
        ...

    async def probe_link(self, target: str, limits: ProbeLimits) -> LinkProbe:
        """Measure the link to `target`, which takes from what queries may have of it. Where nothing
        comes back over it, `LinkProbe.fault` says why."""
        ...

    async def begin_link_traces(self) -> None:
        """Let the recorded capacities of the node's links begin now."""
        ...

    async def switch_device(self, lost: bool) -> None:
        """Take the device away, so that batches and loads fail as on a lost GPU, or give it back.
        A node that has worked with it needs a new process then, as it would with a GPU."""
        ...

    async def set_clock(self, ahead_s: float) -> None:
        """Let the wall clock that the node sees be so far ahead of its host's, or behind it."""
        ...

    async def snapshot(self) -> NodeSnapshot:
        """The node's counters."""
        ...

    async def log_lines(self, read: Read) -> ReadPage:
        """What the node has logged beyond what was `read` already; at first that is nothing."""
        ...


class ServerControl:
    """`NodeControl` of a node in this process, which logs to files in `log_folder`, if it logs to
    any."""

    def __init__(self, server: NodeCore, log_folder: Path | None = None) -> None:
        self._server = server
        self._log_folder = log_folder

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        """See `NodeControl.load`."""
        return await self._server.load(models)

    async def route(self, table: RouteTable) -> None:
        """See `NodeControl.route`."""
        self._server.route(table)

    async def table(self) -> RouteTable:
        """See `NodeControl.table`."""
        return self._server.table

    async def drained(self, version: int) -> None:
        """See `NodeControl.drained`."""
        await self._server.drained(version)

    async def retire(self, version: int, keep: frozenset[str]) -> dict[str, float]:
        """See `NodeControl.retire`."""
        return await self._server.retire(version, keep)

    async def change_link(self, target: str, condition: LinkCondition) -> None:
        """See `NodeControl.change_link`."""
        self._server.change_link(target, condition)

    async def probe_link(self, target: str, limits: ProbeLimits) -> LinkProbe:
        """See `NodeControl.probe_link`."""
        return await self._server.probe_link(target, limits)

    async def begin_link_traces(self) -> None:
        """See `NodeControl.begin_link_traces`."""
        self._server.begin_link_traces()

    async def switch_device(self, lost: bool) -> None:
        """See `NodeControl.switch_device`."""
        self._server.switch_device(lost)

    async def set_clock(self, ahead_s: float) -> None:
        """See `NodeControl.set_clock`."""
        self._server.set_clock(ahead_s)

    async def snapshot(self) -> NodeSnapshot:
        """See `NodeControl.snapshot`."""
        return self._server.snapshot()

    async def log_lines(self, read: Read) -> ReadPage:
        """See `NodeControl.log_lines`."""
        if self._log_folder is None:
            return ReadPage([], {})
        files = log_files_of(self._log_folder, self._server.config.node.name)
        return await asyncio.to_thread(read_on, files, read)


async def call_each(calls: Mapping[str, Awaitable[R]]) -> dict[str, R]:
    """Await the calls of several nodes at once; results by node. The first error is raised when all
    have ended, so that none is still under way then."""
    outcomes = await asyncio.gather(*calls.values(), return_exceptions=True)
    results = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    if len(results) < len(outcomes):
        raise_first(outcomes)
    return dict(zip(calls, results, strict=True))
