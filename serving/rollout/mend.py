"""Making a node hold its assignment again, whatever it lost it by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from serving.logs.logger import NodeLogger
from serving.node.control import NodeControl
from serving.rollout.assignment import Assignment, Mending, find_mending

__all__ = ["PERIOD_S", "keep_assignment", "mend", "mend_all"]

PERIOD_S = 5.0
"""between two looks of a node at its assignment"""
_log = logging.getLogger(__name__)


async def mend(node: NodeControl, assignment: Assignment) -> Mending:
    """Have `node` hold `assignment`; what it lacked before. Raises what the node's calls raise."""
    mending = find_mending(assignment, await node.snapshot(), await node.table())
    if mending.route is not None:
        await node.route(mending.route)
        await node.drained(assignment.version)
    if mending.unload or mending.behind:
        await node.retire(assignment.version, frozenset(assignment.models))
    if mending.load:
        await node.load(mending.load)
    return mending


async def mend_all(
    nodes: Mapping[str, NodeControl], assignments: Mapping[str, Assignment]
) -> dict[str, Mending | Exception]:
    """Have each node hold its assignment; what those lacked that did not, or why they still lack
    it, by node."""

    async def outcome(name: str) -> Mending | Exception:
        try:
            return await mend(nodes[name], assignments[name])
        except Exception as error:  # noqa: BLE001 - one node's fault must not hide the others'
            return error

    names = [name for name in nodes if name in assignments]
    found = await asyncio.gather(*(outcome(name) for name in names))
    return {
        name: result
        for name, result in zip(names, found, strict=True)
        if isinstance(result, Exception) or result
    }


async def keep_assignment(
    node: NodeControl,
    read: Callable[[], Awaitable[Assignment | None]],
    lock: asyncio.Lock,
    name: str,
    *,
    period_s: float = PERIOD_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Look every `period_s` whether `node` holds what `read` says that it was told, and mend it.

    Runs until cancelled, in the node's own process. `lock` is held from reading to mending: calls
    of a change that begins meanwhile have to take it too, or what was read would be out of date. An
    assignment stands in the store before any node is called, so none that is read under the lock
    is older than what the node was last told. What cannot be read or mended now is tried again.
    """
    log = NodeLogger(_log, name)
    while True:
        await sleep(period_s)
        try:
            async with lock:
                assignment = await read()
                mending = None if assignment is None else await mend(node, assignment)
        except Exception as error:  # noqa: BLE001 - it must be tried again, whatever it was
            log.limited(
                logging.WARNING, "assignment", "the node cannot look after itself: %s: %s",
                type(error).__name__, error,
            )  # fmt: skip
            continue
        if assignment is not None and mending:
            # That a plan has a newer version, and nothing else of it is new here, is no fault.
            lost = mending.route is not None or mending.unload or mending.load
            log.log(
                logging.WARNING if lost else logging.INFO,
                "the node differed from its assignment, plan version %d; mended: %s",
                assignment.version, mending,
            )  # fmt: skip
