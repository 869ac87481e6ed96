"""Which way the next query goes: shares of the plan turned into a sequence, without coin flips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serving.node.errors import NotServedError, RefusedError

__all__ = ["RouteTable", "Router", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """A model on a node of the client's path."""

    tier: str
    node: str
    model: str


@dataclass(frozen=True)
class RouteTable:
    """The routes of one client in one plan version: task -> ((target, share), ...).

    What the shares of a task leave of 1 is shed. A task with no target is not served.
    """

    version: int
    routes: dict[str, tuple[tuple[Target, float], ...]]

    @property
    def models(self) -> dict[str, frozenset[str]]:
        """node -> models this table sends queries to."""
        found: dict[str, set[str]] = {}
        for targets in self.routes.values():
            for target, _ in targets:
                found.setdefault(target.node, set()).add(target.model)
        return {node: frozenset(models) for node, models in found.items()}


class Router:
    """Follows the shares of a `RouteTable` as closely as whole queries can.

    Each choice goes to the target whose count lags furthest behind its share (smooth weighted
    round robin), so after n queries of a task every count is within one of n x share, times the
    number of targets at worst. A burst is spread the way the plan's mean load is.
    """

    def __init__(self, table: RouteTable) -> None:
        self._table = table
        self._credit: dict[str, list[float]] = {}

    @property
    def table(self) -> RouteTable:
        """The table in force."""
        return self._table

    def replace(self, table: RouteTable) -> None:
        """Follow `table` from the next query on."""
        self._table = table
        self._credit = {}

    def pick(self, task: str) -> Target:
        """The way of the next query of `task`.

        Raises `NotServedError` if no onloaded model serves the task, `RefusedError` if this
        query falls into the share that the plan sheds.
        """
        targets = self._table.routes.get(task, ())
        if not targets:
            raise NotServedError(_not_served(task, self._table.routes))
        credit = self._credit.get(task)
        if credit is None:
            credit = self._credit[task] = [0.0] * (len(targets) + 1)
        choice = _advance(credit, _with_shed([share for _, share in targets]))
        if choice == len(targets):
            raise RefusedError("shed", "refused: the plan sheds this share of the load")
        return targets[choice][0]

    def others(self, task: str, failed: str) -> tuple[Target, ...]:
        """The task's targets on nodes other than `failed`, largest share first."""
        targets = sorted(self._table.routes.get(task, ()), key=lambda entry: -entry[1])
        return tuple(target for target, _ in targets if target.node != failed)


def _with_shed(shares: Sequence[float]) -> list[float]:
    shed = 1.0 - sum(shares)
    return [*shares, shed if shed > 1e-6 else 0.0]


def _advance(credit: list[float], shares: Sequence[float]) -> int:
    for index, share in enumerate(shares):
        credit[index] += share
    choice = max(range(len(credit)), key=lambda index: (credit[index], shares[index]))
    credit[choice] -= 1.0
    return choice


def _not_served(task: str, routes: dict[str, tuple[tuple[Target, float], ...]]) -> str:
    served: Iterable[str] = sorted(name for name, targets in routes.items() if targets)
    return f"no onloaded model serves task {task!r}; served here: {', '.join(served) or 'none'}"
