"""Carrying a rollout out: stage after stage, on nodes that only need to take control calls."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from serving.node.control import NodeControl, call_each
from serving.rollout.stages import Stage

__all__ = ["OnStep", "RolloutReport", "Step", "execute_rollout"]

_log = logging.getLogger(__name__)


class Step(StrEnum):
    """What a stage does, in this order."""

    LOAD = "load"
    ROUTE = "route"
    DRAIN = "drain"
    UNLOAD = "unload"


OnStep = Callable[[Step, Stage, int], Awaitable[None]]


@dataclass(frozen=True)
class RolloutReport:
    """What putting a plan in force took, in seconds."""

    version: int
    total_s: float
    reaction_s: float
    """from the decision until every client follows the first stage's routes, loads excepted"""
    routed_s: float
    """from the decision until every client follows the last stage's routes"""
    drain_s: float
    """from routes until the last query of older ones had its answer, over all stages"""
    loads_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """node -> model -> seconds"""
    unloads_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """node -> model -> seconds, the wait for its last queries included"""
    stages: int = 1
    """1 unless a crowded node had to unload before it could load"""
    mended: Mapping[str, str] = field(default_factory=dict)
    """node -> what it lacked after all, and was given"""


async def execute_rollout(
    stages: Sequence[Stage],
    nodes: Mapping[str, NodeControl],
    on_step: OnStep,
    *,
    started_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> RolloutReport:
    """Do what `stages` say. `on_step(step, stage, version)` is awaited before each step is begun:
    what a node that is started anew has to take up must be written by then. `started_s` is when
    the change was decided."""
    loads_s: dict[str, dict[str, float]] = {}
    unloads_s: dict[str, dict[str, float]] = {}
    reaction_s, loading_s, drain_s, version, routed_s = 0.0, 0.0, 0.0, 0, started_s
    for number, stage in enumerate(stages):
        version = max(table.version for table in stage.routes.values())
        loaded_s = clock()
        await on_step(Step.LOAD, stage, version)
        loads = {node: nodes[node].load(models) for node, models in stage.load.items() if models}
        for node, times_s in (await call_each(loads)).items():
            loads_s.setdefault(node, {}).update(times_s)
        spent_loading_s = clock() - loaded_s
        loading_s += spent_loading_s
        await on_step(Step.ROUTE, stage, version)
        await call_each({client: nodes[client].route(t) for client, t in stage.routes.items()})
        routed_s = clock()
        if number == 0:
            reaction_s = routed_s - started_s - loading_s
        await on_step(Step.DRAIN, stage, version)
        await call_each({client: nodes[client].drained(version) for client in stage.routes})
        drained_s = clock()
        drain_s += drained_s - routed_s
        await on_step(Step.UNLOAD, stage, version)
        gone = {node: nodes[node].retire(version, keep) for node, keep in stage.keep.items()}
        for node, times_s in (await call_each(gone)).items():
            unloads_s.setdefault(node, {}).update(times_s)
        _log.info(
            "version %d, stage %d of %d: loaded %s in %.2f s, drained in %.2f s, unloaded in "
            "%.2f s",
            version, number + 1, len(stages), _named(stage.load), spent_loading_s,
            drained_s - routed_s, clock() - drained_s,
        )  # fmt: skip
    return RolloutReport(
        version=version,
        total_s=clock() - started_s,
        reaction_s=reaction_s,
        routed_s=routed_s - started_s,
        drain_s=drain_s,
        loads_s={node: times_s for node, times_s in loads_s.items() if times_s},
        unloads_s={node: times_s for node, times_s in unloads_s.items() if times_s},
        stages=len(stages),
    )


def _named(models: Mapping[str, tuple[str, ...]]) -> str:
    """Models by node, in words."""
    held = [f"{', '.join(names)} on {node}" for node, names in models.items() if names]
    return "; ".join(held) or "nothing"
