"""How the live loop runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from serving.replan.decision_input import DecisionOptions

__all__ = ["ReplanOptions"]


@dataclass(frozen=True)
class ReplanOptions:
    """How often to look, how long to wait, and how to decide."""

    period_s: float = 1.0
    """between two looks"""
    answer_limit_s: float = 2.0
    """for a node to show its counters, after which it counts as absent at this look"""
    planning_limit_s: float = 10.0
    """that a plan may be computed for, after which the planning process is killed"""
    save_s: float = 30.0
    """between saves of the loop's state where nothing is decided"""
    max_failures: int = 5
    """looks in a row that fail, at which the loop ends and says why"""
    silence_limit_s: float = 120.0
    """without an answer of any node, after which the loop ends and says why"""
    dry_run: bool = False
    """decide, and change nothing"""
    decision: DecisionOptions = field(default_factory=DecisionOptions)
