"""Carrying a change out: stage after stage, on nodes that only need to take method calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.control.transition import Stage

__all__ = ["CallAll", "Change", "carry_out"]

CallAll = Callable[[str, Mapping[str, Iterable[Any]]], dict[str, Any]]
"""Call a method of `NodeServer` on the named nodes at once, with these arguments; wait for all."""


@dataclass(frozen=True)
class Change:
    """What putting a plan in force took, in seconds."""

    version: int
    total_s: float
    reaction_s: float
    """from the decision until every client follows the first stage's routes, loads excepted"""
    drain_s: float
    """from there until the last query of older routes had its answer, over all stages"""
    loads_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """node -> model -> seconds"""
    unloads_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """node -> model -> seconds, the wait for its last queries included"""
    stages: int = 1
    """1 unless a crowded node had to unload before it could load"""


def carry_out(
    stages: Sequence[Stage],
    call_all: CallAll,
    on_routed: Callable[[Stage, int], None],
    *,
    started_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Change:
    """Do what `stages` say. `on_routed(stage, version)` is called when a stage's routes are in
    force and what they do not need may go; `started_s` is when the change was decided."""
    loads_s: dict[str, dict[str, float]] = {}
    unloads_s: dict[str, dict[str, float]] = {}
    reaction_s, loading_s, drain_s, version = 0.0, 0.0, 0.0, 0
    for number, stage in enumerate(stages):
        version = max(table.version for table in stage.routes.values())
        loaded_s = clock()
        for node, times_s in call_all("load", _each(stage.load)).items():
            loads_s.setdefault(node, {}).update(times_s)
        loading_s += clock() - loaded_s
        call_all("route", {client: (table,) for client, table in stage.routes.items()})
        routed_s = clock()
        if number == 0:
            reaction_s = routed_s - started_s - loading_s
        call_all("drained", dict.fromkeys(stage.routes, (version,)))
        drain_s += clock() - routed_s
        on_routed(stage, version)
        gone = call_all("retire", {node: (version, keep) for node, keep in stage.keep.items()})
        for node, times_s in gone.items():
            unloads_s.setdefault(node, {}).update(times_s)
    return Change(
        version=version,
        total_s=clock() - started_s,
        reaction_s=reaction_s,
        drain_s=drain_s,
        loads_s={node: times_s for node, times_s in loads_s.items() if times_s},
        unloads_s={node: times_s for node, times_s in unloads_s.items() if times_s},
        stages=len(stages),
    )


def _each(load: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[tuple[str, ...]]]:
    return {node: (models,) for node, models in load.items() if models}
