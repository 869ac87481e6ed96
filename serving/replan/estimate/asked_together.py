"""How many of one client's queries are asked of the same image as others (F14)."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp

from pydantic import Field

from cluster.bundle_names import tasks_of_bundle
from cluster.document import FrozenModel
from serving.replan.estimate.arrival_counts import NewQueries

__all__ = ["AskedTogether"]

MEMORY_S = 30.0
"""over which it is forgotten"""
FORGOTTEN = 1e-6
LEAST_SHARE = 0.01
"""of the queries of every task of a bundle, below which it counts as asked alone"""


class AskedTogether(FrozenModel):
    """Both counted with the same memory; `after` gives the next state."""

    requests: dict[str, float] = Field(
        default_factory=dict, description="by the name of the bundle that they asked"
    )
    queries: dict[str, float] = Field(default_factory=dict, description="by task, all of them")

    def after(self, new: NewQueries) -> AskedTogether:
        """With one more look."""
        if not self.requests and not new.together:
            return self
        kept = exp(-new.spent_s / MEMORY_S)
        return AskedTogether(
            requests=_added(self.requests, kept, new.together),
            queries=_added(self.queries, kept, new.queries),
        )

    def bundles_qps(self, rates_qps: Mapping[str, float]) -> dict[str, float]:
        """Images/s by the bundle that is asked of them, where tasks are asked `rates_qps` in all.

        As many of each task's queries belong to a bundle as did lately; the least of its tasks
        tells how many images that are, so that no task is asked more than its rate.
        """
        found: dict[str, float] = {}
        for name, requests in self.requests.items():
            tasks = tasks_of_bundle(name)
            share_t = [requests / max(self.queries.get(task, 0.0), requests) for task in tasks]
            if max(share_t) >= LEAST_SHARE:
                rates = [rates_qps.get(task, 0.0) for task in tasks]
                found[name] = min(s * rate for s, rate in zip(share_t, rates, strict=True))
        return {name: qps for name, qps in found.items() if qps > 0}


def _added(known: Mapping[str, float], kept: float, new: Mapping[str, int]) -> dict[str, float]:
    """What is left of `known`, and `new`; what is as good as forgotten is left out."""
    counted = {n: known.get(n, 0.0) * kept + new.get(n, 0) for n in sorted({*known, *new})}
    return {name: count for name, count in counted.items() if count > FORGOTTEN}
