"""Who makes the loop's decisions: at once, or in processes beside it.

A decision about models takes seconds where planning gives way to serving. The load goes on changing
meanwhile, so the loop goes on looking, and new shares are decided about beside it, by another
process, in a tenth of that time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from serving.errors import PlanningError
from serving.replan.decision import Decision
from serving.replan.decision_input import DecisionInput, Ground
from serving.replan.planning_process import PlanningProcess

__all__ = ["Planner", "Planners", "Planning"]

Planner = Callable[[Ground, DecisionInput], Decision]
"""Decides, here or in another process. Raises `PlanningError`."""


class Planning(Protocol):
    """Makes one decision at a time, which is fetched when it is made."""

    def begin(self, ground: Ground, given: DecisionInput) -> None:
        """Start to decide."""
        ...

    def outcome(self) -> Decision | None:
        """What was decided; None while it is not. Raises `PlanningError`; then all is over."""
        ...


class _AtOnce:
    """Decides when asked, and has the decision ready."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._made: Decision | PlanningError | None = None

    def begin(self, ground: Ground, given: DecisionInput) -> None:
        try:
            self._made = self._planner(ground, given)
        except PlanningError as error:
            self._made = error

    def outcome(self) -> Decision | None:
        if isinstance(self._made, PlanningError):
            raise self._made
        return self._made


@dataclass(frozen=True)
class Planners:
    """One for each kind of decision. `close` ends their processes."""

    shares: Planner
    """is waited for"""
    models: Planning
    """is not"""
    close: Callable[[], None] = lambda: None

    @classmethod
    def at_once(cls, planner: Planner) -> Planners:
        """`planner` for both; a decision is there as soon as it is asked for."""
        return cls(planner, _AtOnce(planner))

    @classmethod
    def in_processes(cls, decide: Planner, limit_s: float) -> Planners:
        """`decide`, a function of a module, in a process for each; `limit_s` as there."""
        shares, models = (PlanningProcess(decide, limit_s) for _ in range(2))

        def close() -> None:
            shares.close()
            models.close()

        return cls(shares, models, close)
