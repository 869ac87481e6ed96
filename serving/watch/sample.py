"""What the nodes showed at one moment, as it is kept: counters, of which differences are rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, cast

from pydantic import Field

from cluster.document import FrozenModel
from planner.plan import TierName
from serving.node.answer_tally import BOUNDS_S
from serving.node.snapshot import NodeSnapshot

__all__ = [
    "MomentS",
    "NodeSample",
    "SystemSample",
    "WayCount",
    "carried_on",
    "is_older",
    "sample_of",
]


MOST = 1e15
"""no counter and no clock of ours comes near it"""
OVERTAKEN_S = 30.0
Count = Annotated[int, Field(ge=0, le=int(MOST))]
Seconds = Annotated[float, Field(ge=-MOST, le=MOST)]
MomentS = Annotated[float, Field(ge=0, le=1e9)]
"""from the start of a recording"""


class WayCount(FrozenModel):
    """Answers of one task that came one way, since the node started."""

    task: str
    tier: TierName
    node: str
    model: str
    via: str = ""
    answers: Count
    late: Count = Field(default=0, description="after the bound that was promised of them")
    bound_s: float = Field(default=0.0, ge=0, le=MOST)
    buckets: tuple[Count, ...] = Field(
        min_length=len(BOUNDS_S) + 1,
        max_length=len(BOUNDS_S) + 1,
        description="answers by what they took (`serving.node.answer_tally.BOUNDS_S`)",
    )


class NodeSample(FrozenModel):
    """The counters of one node."""

    taken_s: Seconds | None = Field(
        default=None,
        description="by the node's own clock: what it counted between two samples it counted "
        "between these, however late its answers came",
    )
    busy_s: Seconds
    models: tuple[str, ...]
    plan_version: int
    device: str = Field(description="`well`, or how it fails")
    waiting: dict[str, Count] = Field(default_factory=dict, description="queries queued, by model")
    in_flight: Count = 0
    arrived: dict[str, Count] = Field(default_factory=dict, description="task -> queries")
    served: dict[str, Count] = Field(default_factory=dict, description="model -> queries")
    refused: dict[str, Count] = Field(default_factory=dict, description="reason -> queries")
    spilled: dict[str, Count] = Field(default_factory=dict, description="reason -> queries")
    links: dict[str, tuple[Count, Seconds]] = Field(
        default_factory=dict, description="node above -> bytes sent, seconds busy with them"
    )
    ways: tuple[WayCount, ...] = ()


class SystemSample(FrozenModel):
    """The nodes that answered at `at_s`, seconds from the start of the recording."""

    at_s: MomentS
    nodes: dict[str, NodeSample]


def is_older(now: NodeSample, then: NodeSample) -> bool:
    """Whether a node's sample that came later was taken before another one: two that look at nodes
    may overtake each other. A clock that is far behind is that of another host."""
    if now.taken_s is None or then.taken_s is None:
        return False
    return 0 < then.taken_s - now.taken_s < OVERTAKEN_S


def carried_on(known: SystemSample | None, sample: SystemSample) -> SystemSample:
    """`sample` with what was `known` before of the nodes that it lacks, or has an older sample of:
    what they count meanwhile is counted from there when they answer again."""
    if known is None:
        return sample
    newer = {
        name: seen
        for name, seen in sample.nodes.items()
        if name not in known.nodes or not is_older(seen, known.nodes[name])
    }
    return SystemSample(at_s=sample.at_s, nodes={**known.nodes, **newer})


def sample_of(snapshots: Mapping[str, NodeSnapshot], at_s: float) -> SystemSample:
    """The sample of what nodes show."""
    return SystemSample(
        at_s=round(at_s, 3), nodes={name: _of(seen) for name, seen in snapshots.items()}
    )


def _of(seen: NodeSnapshot) -> NodeSample:
    return NodeSample(
        taken_s=round(seen.taken_s, 3),
        busy_s=round(seen.busy_s, 4),
        models=seen.models,
        plan_version=seen.plan_version,
        device=str(seen.device),
        waiting={model: count for model, count in seen.waiting.items() if count},
        in_flight=seen.in_flight,
        arrived=dict(seen.arrived),
        served=dict(seen.served),
        refused={str(reason): count for reason, count in seen.refused.items()},
        spilled={str(reason): count for reason, count in seen.spilled.items()},
        links={
            target: (use.sent_bytes, round(use.busy_s, 4)) for target, use in seen.links.items()
        },
        ways=tuple(
            WayCount(
                task=way.task,
                tier=cast(TierName, way.tier),
                node=way.node,
                model=way.model,
                via=way.via,
                answers=total.answers,
                late=total.late,
                bound_s=round(total.bound_s, 4),
                buckets=total.buckets,
            )
            for way, total in seen.answers.items()
        ),
    )
