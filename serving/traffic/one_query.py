"""One query of a run: what became of it, where its time went, and why it took its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from planner.plan import Plan
from serving.system import Outcome
from serving.traffic.measurement import Measurements

__all__ = ["OneQuery", "find_query", "why_this_way"]

STAGES = {
    "link_s": "links",
    "queue_s": "waiting for its batch to close",
    "batch_wait_s": "its batch waiting for the device",
    "compute_s": "its batch on the device",
}


class OneQuery(NamedTuple):
    """A row of the measurements. Times in seconds."""

    query: int
    client: str
    task: str
    outcome: Outcome
    reason: str
    tier: str
    node: str
    model: str
    plan_version: int
    batch_size: int
    scheduled_s: float
    latency_s: float
    bound_s: float
    score: float
    trace_id: str
    stages_s: Mapping[str, float]
    """what -> seconds, and the rest of the latency under `elsewhere`"""

    @property
    def answered(self) -> bool:
        """Whether anybody answered."""
        return self.outcome is Outcome.ANSWERED


def find_query(rows: Measurements, asked: str) -> OneQuery | None:
    """The query of that number, or of that trace; None if there is none."""
    if asked.isascii() and asked.isdigit() and len(asked) < 19:
        places = np.flatnonzero(rows.query == int(asked))
    else:
        places = np.flatnonzero(rows.trace_id == asked.lower()) if asked else np.zeros(0, int)
    if not len(places):
        return None
    q = int(places[0])
    stages_s = {words: float(getattr(rows, name)[q]) for name, words in STAGES.items()}
    latency_s = float(rows.latency_s[q])
    stages_s["elsewhere"] = max(0.0, latency_s - sum(stages_s.values()))
    return OneQuery(
        query=int(rows.query[q]),
        client=str(rows.client[q]),
        task=str(rows.task[q]),
        outcome=Outcome(str(rows.outcome[q])),
        reason=str(rows.reason[q]),
        tier=str(rows.tier[q]),
        node=str(rows.node[q]),
        model=str(rows.model[q]),
        plan_version=int(rows.plan_version[q]),
        batch_size=int(rows.batch_size[q]),
        scheduled_s=float(rows.scheduled_s[q]),
        latency_s=latency_s,
        bound_s=float(rows.bound_s[q]),
        score=float(rows.score[q]),
        trace_id=str(rows.trace_id[q]),
        stages_s=stages_s,
    )


def why_this_way(query: OneQuery, plan: Plan) -> str:
    """Why it took its way, or was refused, under `plan`, which routed it."""
    routes = [r for r in plan.routes if (r.client, r.task) == (query.client, query.task)]
    sent = sum(route.share for route in routes)
    if not query.answered:
        shed = max(0.0, 1 - sent)
        if query.reason == "shed":
            return f"the plan sheds {shed:.1%} of these queries"
        return f"it was refused ({query.reason}); the plan sheds {shed:.1%} of these queries"
    share = sum(
        route.share for route in routes if (route.node, route.model) == (query.node, query.model)
    )
    planned = f"the plan sends {share:.1%} of these queries this way"
    if query.reason:
        full = f"its own way refused it ({query.reason}), so that it took another that had room"
        return f"{full}; {planned}"
    if share == 0:
        return (
            "the plan sends none of these queries this way: it took a detour, since its own way "
            "failed, or the clients follow their queues (`--routing`)"
        )
    return planned
