"""The counters of a node at one moment.

Nothing is restored from them: what a restarted node takes up again is its assignment
(`serving.rollout.assignment`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import NamedTuple

from serving.errors import RefusalReason
from serving.node.answer_tally import AnswerTotals, AnswerWay
from serving.node.device.device_watch import DeviceHealth
from serving.node.device.latency_model import BatchTotals
from serving.node.links.link_condition import LinkCondition

__all__ = ["LinkUse", "NodeSnapshot"]


class LinkUse(NamedTuple):
    """What went up a link so far, and for how long it was busy with that."""

    sent_bytes: int
    busy_s: float
    rtt_s: float = nan
    """the shortest round trip of its latest queries; no number before the first answer"""


@dataclass(frozen=True)
class NodeSnapshot:
    """Counters since the node started; differences of two snapshots are rates."""

    node: str
    taken_s: float
    busy_s: float
    batches: int
    """batches answered"""
    sent_bytes: int
    models: tuple[str, ...]
    plan_version: int
    arrived: Mapping[str, int]
    """queries received by task (client nodes)"""
    served: Mapping[str, int]
    """queries answered here by model"""
    refused: Mapping[RefusalReason, int]
    """queries refused by reason (client nodes)"""
    loads_s: Mapping[str, float]
    """seconds the latest load of each model took"""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """queries queued here by model"""
    tasks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """what each loaded model serves"""
    in_flight: int = 0
    """queries that arrived here and are not answered yet (client nodes)"""
    spilled: Mapping[RefusalReason, int] = field(default_factory=dict)
    """queries answered on another way than their plan's, by what that one refused them with"""
    device: DeviceHealth = DeviceHealth.WELL
    """whether the device answers"""
    late_batches: int = 0
    """batches that came later than from the device that the node emulates"""
    emulated: str = ""
    """which profiles the node's time is of (`profiling.profile.digest_of`); of a node that emulates
    no device, nothing"""
    links: Mapping[str, LinkUse] = field(default_factory=dict)
    """by the node above"""
    link_conditions: Mapping[str, LinkCondition] = field(default_factory=dict)
    """by the node above, of links that are not as the topology has them"""
    batch_totals: Mapping[str, BatchTotals] = field(default_factory=dict)
    """what batches took, by model"""
    together: Mapping[str, int] = field(default_factory=dict)
    """requests that asked several tasks of one image, by their names joined by + (client nodes)"""
    answers: Mapping[AnswerWay, AnswerTotals] = field(default_factory=dict)
    """what answers took, by the way they came (client nodes)"""
