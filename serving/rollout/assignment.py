"""What a node has to hold, its share of the plan in force, and how far it is from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from serving.node.snapshot import NodeSnapshot
from serving.routing.routes import RouteTable

__all__ = ["Assignment", "Mending", "find_mending", "with_version"]


@dataclass(frozen=True)
class Assignment:
    """A node's share of the plan in force."""

    version: int
    models: tuple[str, ...]
    table: RouteTable | None = None
    """routes of the same version, for client nodes"""


@dataclass(frozen=True)
class Mending:
    """What a node has to do, in this order, to hold its assignment. False if it holds it."""

    route: RouteTable | None
    unload: frozenset[str]
    load: tuple[str, ...]
    behind: bool = False
    """whether it was told a newer plan version than it knows"""

    def __bool__(self) -> bool:
        return self.route is not None or bool(self.unload or self.load or self.behind)

    def __str__(self) -> str:
        parts = [] if self.route is None else [f"follow version {self.route.version}"]
        parts += [f"unload {', '.join(sorted(self.unload))}"] if self.unload else []
        parts += [f"load {', '.join(self.load)}"] if self.load else []
        return "; ".join(parts) or ("take up the version" if self.behind else "nothing")


def find_mending(assignment: Assignment, seen: NodeSnapshot, table: RouteTable) -> Mending:
    """What a node that holds `seen.models` and follows `table` lacks of `assignment`, or has
    beyond it.

    Models go before others come, because both together may not fit. A node that follows a newer
    table than it is assigned keeps it: versions only ever rise.
    """
    wanted = assignment.table
    turns = wanted is not None and (
        table.version < wanted.version or (table.version == wanted.version and table != wanted)
    )
    return Mending(
        wanted if turns else None,
        frozenset(seen.models) - frozenset(assignment.models),
        tuple(model for model in assignment.models if model not in seen.models),
        seen.plan_version < assignment.version,
    )


def with_version(assignments: Mapping[str, Assignment], version: int) -> dict[str, Assignment]:
    """The same models and routes under another plan version."""
    return {
        node: replace(
            assignment,
            version=version,
            table=None if assignment.table is None else replace(assignment.table, version=version),
        )
        for node, assignment in assignments.items()
    }
