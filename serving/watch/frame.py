"""What page and terminal show at one moment. Live and replayed frames are the same class."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cluster.document import FrozenModel
from serving.watch.decision_shown import DecisionShown
from serving.watch.plan_shown import BudgetShown, PlanShown

__all__ = [
    "AccuracyNow", "BudgetNow", "Course", "EventNow", "HeldModel", "LatencyNow", "LatencySource",
    "LinkNow",
    "NodeNow", "RefusalNow", "WatchFrame",
]  # fmt: skip

Source = Literal["labels", "estimate"]
"""`labels`: scores of answers whose truth is known. `estimate`: what the models that answered reach
on the test split."""
LatencySource = Literal["callers", "nodes"]


class HeldModel(FrozenModel):
    """A model that a node holds now."""

    name: str
    qps: float = Field(description="answered by it a second")
    waiting: int = Field(default=0, description="queries queued for it")


class NodeNow(FrozenModel):
    """A node."""

    name: str
    tier: Literal["client", "edge", "cloud"]
    health: str = Field(description="`well`; how its device fails; `silent` if it gives no answer")
    plan_version: int
    models: tuple[HeldModel, ...]
    memory_bytes: int
    memory_budget_bytes: int
    busy_share: float
    compute_budget: float
    waiting: int
    in_flight: int
    arrived: int = Field(default=0, description="queries of callers since the node started")
    arrived_qps: float = Field(description="of callers; clients only")
    answered_qps: float = Field(description="by this node, for whichever client")


class LinkNow(FrozenModel):
    """A link, the way up."""

    name: str
    source: str
    target: str
    condition: str = Field(description="cut, silent, at a share of its bandwidth; nothing if well")
    qps: float = Field(description="answered over it a second")
    edge_qps: float = Field(description="of these, by the edge")
    cloud_qps: float = Field(description="of these, by the cloud")
    bytes_per_s: float
    budget_bytes_per_s: float
    busy_share: float


class AccuracyNow(FrozenModel):
    """Accuracy over all that was asked lately, of one task or of all."""

    task: str = Field(description="nothing for all of them")
    value: float | None
    promised: float | None
    source: Source
    queries: int = Field(default=0, description="that it is over")


class LatencyNow(FrozenModel):
    """Latency of the answers of one tier lately, against what was promised of them."""

    tier: str
    answers: int
    p50_s: float | None
    p95_s: float | None
    bound_s: float = Field(description="the largest that was promised")
    within_share: float


class RefusalNow(FrozenModel):
    """Queries that were refused lately, or answered on another way (`spilled`), by reason."""

    reason: str
    qps: float
    spilled: bool = False


class BudgetNow(FrozenModel):
    """A budget, what the plan makes of it, and what was used of it lately."""

    planned: BudgetShown
    used_share: float | None = Field(description="None where it is not measured")


class EventNow(FrozenModel):
    """Something that happened."""

    at_s: float
    words: str


class Course(FrozenModel):
    """Figures over time, one value a bin; None where nothing is known."""

    edges_s: tuple[float, ...] = Field(description="one more than bins")
    asked_qps: tuple[float | None, ...]
    answered_qps: dict[str, tuple[float | None, ...]] = Field(description="by tier")
    refused_qps: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    accuracy_source: Source
    p95_s: tuple[float | None, ...]
    late_share: tuple[float | None, ...]
    changes_s: tuple[float, ...] = Field(description="when another plan came into force")
    events_s: tuple[float, ...]


class WatchFrame(FrozenModel):
    """All that is shown of one moment."""

    at_s: float
    end_s: float = Field(description="of the recording; live, the same as `at_s`")
    live: bool
    loop: Literal["none", "running", "paused"] = "none"
    busy: str = Field(default="", description="what the loop is at, where that is known")
    note: str = Field(default="", description="a recording that is torn, or nodes that are silent")
    plan: PlanShown | None
    asked_qps: float
    answered_qps: float
    nodes: tuple[NodeNow, ...]
    links: tuple[LinkNow, ...]
    accuracy: tuple[AccuracyNow, ...] = Field(description="of all first, then task by task")
    latency: tuple[LatencyNow, ...]
    latency_source: LatencySource = Field(
        description="measured where callers wait, or at the doors of nodes"
    )
    refusals: tuple[RefusalNow, ...]
    budgets: tuple[BudgetNow, ...]
    decisions: tuple[DecisionShown, ...] = Field(description="the newest first")
    events: tuple[EventNow, ...] = Field(description="the newest first")
    load_factors: dict[str, float] = Field(description="client -> factor on its load, if not 1")
    course: Course
