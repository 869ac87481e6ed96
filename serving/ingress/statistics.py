"""Counts of what a door was asked, in the form of Triton's statistics extension.

Times are in nanoseconds and totals since the node started. `queue` is waiting for a batch and for
the device, `compute_infer` the passes; the rest of `success` is links and the protocol.
`execution_count` is this door's share of the batches that its queries ran in, rounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.ingress.oip_names import VERSION
from serving.node.node_core import Routed

__all__ = ["Callers", "ModelStatistics"]

MAX_CALLERS = 1_000
OTHERS = "(others)"


@dataclass
class Duration:
    """Occurrences and the time they took together."""

    count: int = 0
    spent_s: float = 0.0

    def add(self, spent_s: float) -> None:
        """One more."""
        self.count += 1
        self.spent_s += spent_s

    def as_json(self) -> dict[str, int]:
        """The protocol's form."""
        return {"count": self.count, "ns": round(self.spent_s * 1e9)}


@dataclass
class ModelStatistics:
    """What became of the requests to one model."""

    name: str
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    inferences: int = 0
    executions: float = 0.0
    last_ms: int = 0
    batches: dict[int, Duration] = field(default_factory=dict)
    """by batch size: queries that ran in such a batch and what it took"""

    def answered(self, spent_s: float, routed: Sequence[Routed], images: int, now_ms: int) -> None:
        """A request was answered; `routed` has every task's answer for each of its images."""
        self.success.add(spent_s)
        self.inferences += images
        self.last_ms = now_ms
        for answer in routed:
            served = answer.forwarded.served
            self.queue.add(served.queue_s + served.batch_wait_s)
            self.compute_infer.add(served.compute_s)
            self.executions += 1.0 / served.batch_size
            batch = self.batches.get(served.batch_size)
            if batch is None:
                batch = self.batches[served.batch_size] = Duration()
            batch.add(served.compute_s)

    def as_json(self, refused_early: int = 0) -> dict[str, Any]:
        """An entry of `model_stats`; requests that were turned away unread failed in no time."""
        unmeasured = Duration().as_json()
        fail = Duration(self.fail.count + refused_early, self.fail.spent_s)
        return {
            "name": self.name,
            "version": VERSION,
            "last_inference": self.last_ms,
            "inference_count": self.inferences,
            "execution_count": round(self.executions),
            "inference_stats": {
                "success": self.success.as_json(),
                "fail": fail.as_json(),
                "queue": self.queue.as_json(),
                "compute_input": unmeasured,
                "compute_infer": self.compute_infer.as_json(),
                "compute_output": unmeasured,
                "cache_hit": unmeasured,
                "cache_miss": unmeasured,
            },
            "batch_stats": [
                {
                    "batch_size": size,
                    "compute_input": unmeasured,
                    "compute_infer": duration.as_json(),
                    "compute_output": unmeasured,
                }
                for size, duration in sorted(self.batches.items())
            ],
        }


class Callers:
    """Requests by the name that callers give themselves; unnamed ones are not listed."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def count(self, caller: str, outcome: str) -> None:
        """One more `outcome` for `caller`; names beyond the first thousand are counted as one."""
        if not caller:
            return
        if caller not in self._counts and len(self._counts) >= MAX_CALLERS:
            caller = OTHERS
        self._counts.setdefault(caller, Counter())[outcome] += 1

    def as_json(self) -> dict[str, dict[str, int]]:
        """caller -> outcome -> requests."""
        return {caller: dict(counts) for caller, counts in self._counts.items()}
