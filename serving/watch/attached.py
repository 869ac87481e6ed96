"""What a page that is attached to a cluster hears of plans and decisions that others make."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from planner.plan import Plan
from serving.replan.decision_log import ChangeLine, DecisionLine
from serving.watch.history import WatchHistory

__all__ = ["DecisionTail", "follow_decisions", "follow_plans"]

LOOK_S = 0.5
_log = logging.getLogger(__name__)


class DecisionTail:
    """What is added to a decision log that another process writes, from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = self._size()

    def read(self) -> list[DecisionLine | ChangeLine]:
        """The decisions and changes that were added since, whole lines only."""
        if self._size() < self._read_bytes:  # another log was begun in its place
            self._read_bytes = 0
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._read_bytes)
                raw = stream.read()
        except OSError:
            return []
        whole = raw[: raw.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        found = (_parsed(line) for line in whole.splitlines())
        return [line for line in found if line is not None]

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0


def _parsed(raw: bytes) -> DecisionLine | ChangeLine | None:
    """A decision or a change; None for other lines, and for one that cannot be read."""
    try:
        data = json.loads(raw)
        kind = data.get("kind")
        if kind == "decision":
            return DecisionLine.model_validate(data)
        return ChangeLine.model_validate(data) if kind == "change" else None
    except (ValueError, ValidationError, AttributeError):
        return None


async def follow_decisions(tail: DecisionTail, history: WatchHistory) -> None:
    """Tell `history` of each decision as it is logged, until cancelled."""
    while True:
        for line in await asyncio.to_thread(tail.read):
            if isinstance(line, DecisionLine):
                history.decided(line)
            else:
                history.became(line)
        await asyncio.sleep(LOOK_S)


async def follow_plans(
    history: WatchHistory,
    in_force: Callable[[], Plan | None],
    tell: Callable[[Plan], None],
) -> None:
    """Whenever nodes follow another version than was told last, ask which plan is `in_force`, and
    `tell` of it; until cancelled."""
    told = 0
    while True:
        recorded, _ = history.recorded()
        if recorded.samples:
            nodes = recorded.samples[-1].nodes.values()
            seen = max((node.plan_version for node in nodes), default=0)
            if seen != told:
                try:
                    plan = await asyncio.to_thread(in_force)
                    if plan is not None:
                        await asyncio.to_thread(tell, plan)
                        told = plan.version
                except Exception:  # noqa: BLE001 - what is only shown must end nothing
                    _log.exception("the plan in force cannot be shown")
                    told = seen
        await asyncio.sleep(LOOK_S)
