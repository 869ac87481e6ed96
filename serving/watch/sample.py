"""What the nodes showed at one moment, as it is kept: counters, of which differences are rates."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from cluster.document import FrozenModel
from serving.node.snapshot import NodeSnapshot

__all__ = ["NodeSample", "SystemSample", "WayCount", "sample_of"]


class WayCount(FrozenModel):
    """Answers of one task that came one way, since the node started."""

    task: str
    tier: str
    node: str
    model: str
    via: str = ""
    answers: int = Field(ge=0)
    late: int = Field(default=0, ge=0, description="after the bound that was promised of them")
    bound_s: float = Field(default=0.0, ge=0)
    buckets: tuple[int, ...] = Field(
        description="answers by what they took (`serving.node.answer_tally.BOUNDS_S`)"
    )


class NodeSample(FrozenModel):
    """The counters of one node."""

    taken_s: float | None = Field(
        default=None,
        description="by the node's own clock: what it counted between two samples it counted "
        "between these, however late its answers came",
    )
    busy_s: float
    models: tuple[str, ...]
    plan_version: int
    device: str = Field(description="`well`, or how it fails")
    waiting: dict[str, int] = Field(default_factory=dict, description="queries queued, by model")
    in_flight: int = 0
    arrived: dict[str, int] = Field(default_factory=dict, description="task -> queries")
    served: dict[str, int] = Field(default_factory=dict, description="model -> queries")
    refused: dict[str, int] = Field(default_factory=dict, description="reason -> queries")
    spilled: dict[str, int] = Field(default_factory=dict, description="reason -> queries")
    links: dict[str, tuple[int, float]] = Field(
        default_factory=dict, description="node above -> bytes sent, seconds busy with them"
    )
    ways: tuple[WayCount, ...] = ()


class SystemSample(FrozenModel):
    """The nodes that answered at `at_s`, seconds from the start of the recording."""

    at_s: float
    nodes: dict[str, NodeSample]


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
                tier=way.tier,
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
