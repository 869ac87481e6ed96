"""The live loop's fleet and log, which tell a history what passes through them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from cluster.demand import Phase
from cluster.topology import Topology
from planner.plan import Plan
from serving.node.snapshot import NodeSnapshot
from serving.replan.decision_input import Ground
from serving.replan.decision_log import ChangeLine, DecisionLine, DecisionLog
from serving.replan.loop import ReplannedFleet
from serving.rollout.execute import RolloutReport
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.watch.history import WatchHistory

__all__ = ["SampledFleet", "WatchedFleet", "WatchedLog", "sample_nodes"]

ANSWER_LIMIT_S = 2.0
_log = logging.getLogger(__name__)


class SampledFleet(Protocol):
    """What is asked of nodes to show them."""

    def snapshots_within(self, limit_s: float) -> dict[str, NodeSnapshot]:
        """Counters of the nodes that answer within `limit_s`."""
        ...


class WatchedFleet:
    """A `ReplannedFleet` whose looks and changes a history hears of."""

    def __init__(self, fleet: ReplannedFleet, history: WatchHistory) -> None:
        self.topology: Topology = fleet.topology
        self._fleet = fleet
        self._history = history

    def snapshots_within(self, limit_s: float) -> dict[str, NodeSnapshot]:
        """See `ReplannedFleet`."""
        snapshots = self._fleet.snapshots_within(limit_s)
        self._history.looked(snapshots)
        return snapshots

    def apply(
        self,
        plan: Plan,
        setting: Setting,
        phase: Phase,
        *,
        expected_version: int | None = None,
        routing: RoutingMode = RoutingMode.SHARES,
        without: Collection[str] = (),
    ) -> RolloutReport:
        """See `ReplannedFleet`."""
        change = self._fleet.apply(
            plan,
            setting,
            phase,
            expected_version=expected_version,
            routing=routing,
            without=without,
        )
        in_force = plan.model_copy(update={"version": change.version})
        self._history.planned(in_force, setting.problem(phase))
        return change


class WatchedLog(DecisionLog):
    """A decision log that a history hears of."""

    def __init__(self, path: Path, history: WatchHistory) -> None:
        super().__init__(path)
        self._history = history

    def decision(self, ground: Ground, line: DecisionLine) -> None:
        """See `DecisionLog`."""
        self._history.decided(line)
        super().decision(ground, line)

    def change(self, line: ChangeLine) -> None:
        """See `DecisionLog`."""
        self._history.became(line)
        super().change(line)


async def sample_nodes(fleet: SampledFleet, history: WatchHistory, period_s: float) -> None:
    """Look at the nodes every period, until cancelled. A look that fails is logged."""
    while True:
        try:
            history.looked(await asyncio.to_thread(fleet.snapshots_within, ANSWER_LIMIT_S))
        except Exception:  # noqa: BLE001 - what is only shown must cost no traffic
            _log.exception("a look at the nodes failed")
        await asyncio.sleep(period_s)
