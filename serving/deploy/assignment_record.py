"""`assignments.json`: what the cluster's nodes were told, and who is changing it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from cluster.document import Document, FrozenModel
from planner.plan import Plan
from serving.deploy.door_ports import DoorPorts
from serving.node.links.link_condition import LinkCondition
from serving.rollout.assignment import Assignment
from serving.routing.routes import RoutingMode

__all__ = [
    "AssignmentRecord",
    "ChangeRecord",
    "LeaseRecord",
    "PlanInForce",
    "plan_followed",
]


class LeaseRecord(FrozenModel):
    """A lease, without the time that is left of it (`serving.deploy.lease`)."""

    owner: str
    ttl_s: float


class PlanInForce(FrozenModel):
    """The plan that the nodes follow, whole, so that whoever changes it can put it back."""

    plan: Plan
    """with its version"""
    routing: RoutingMode


class ChangeRecord(FrozenModel):
    """A change of plan that is under way."""

    owner: str
    if_abandoned: dict[str, Assignment]
    """what the nodes have to hold should `owner` vanish: the plan before, or the new one once all
    of its models are loaded"""
    in_force: PlanInForce | None = None
    """the plan that this is of"""


class AssignmentRecord(Document):
    """The file. `nodes` is what each node has to hold now, also in the middle of a change."""

    version: int = Field(default=0, ge=0)
    """the highest plan version that any node was told"""
    nodes: dict[str, Assignment] = Field(default_factory=dict)
    ports: dict[str, DoorPorts] = Field(default_factory=dict)
    links: dict[str, dict[str, LinkCondition]] = Field(default_factory=dict)
    """source -> target -> what its link was set to (`testbed link`); others are as stated"""
    leases: dict[str, LeaseRecord] = Field(default_factory=dict)
    change: ChangeRecord | None = None
    in_force: PlanInForce | None = None
    """None before the first plan, and in the middle of a change"""


def plan_followed(
    record: AssignmentRecord,
    ahead: Mapping[str, Assignment] | None,
    new: PlanInForce,
    *,
    undoing: bool,
) -> PlanInForce | None:
    """The plan that nodes follow once all is done that they are told, in a change from `record` to
    the plan `new` that may be `undoing` itself.

    `ahead` is what they are told should the change be abandoned, None at its end: assignments of
    before, some of them at a version that `record` knows, until all models of `new` are loaded.
    """
    leads_back = ahead is not None and any(
        assignment.version <= record.version for assignment in ahead.values()
    )
    return record.in_force if leads_back or undoing else new
