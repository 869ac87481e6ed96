"""Whether there is anything new to decide about: most looks find nothing, and cost next to nothing.

A decision is made again when its answer could be another: when the mean has changed, when a rate
has left the errors that it was known with, when other tasks are asked of the same images, when the
errors have shrunk, when the load turns out burstier, when a burst is over in which it cost too much
to move models, when a former load is forgotten, when links or devices are not as they were, or when
nodes came or went.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from cluster.document import FrozenModel
from serving.replan.estimate.load_estimate import LoadEstimate

__all__ = ["Considered", "cause_of", "is_settled", "load_has_moved", "why_decide"]

LOAD_CHANGED = "the load has changed"
RATE_MOVED = "has moved"
"""how the reason ends where a rate has left its errors"""
NOT_AS_IT_WAS, BURSTIER_NOW = "is not as it was", "sends burstier"
OTHER_BUNDLES = "asks other tasks together"

ERRORS_APART = 3.0
"""standard errors between two estimates of a rate, beyond which it has moved"""
BETTER_KNOWN = 1.4
"""times as many seconds of load behind an estimate: its errors are smaller by the root of that. A
decision takes a third of a second; with 2.0, bursts were answered with other models 8 s later"""

SETTLED_S = 3.0
"""of a load, before models are moved for it. A decision about models takes seconds where planning
gives way to serving, and moves none for a load that is hardly known. One about new shares takes a
tenth of that, and they cost nothing."""

BURSTIER = 3.0
"""times the dispersion that was known of a client: Poisson counts of ten looks show so much once in
a thousand times"""

OTHERWISE = 0.3
"""images of which other tasks are asked together than before, ÷ queries of their client"""


class Considered(FrozenModel):
    """What the latest decision was about."""

    estimate: LoadEstimate
    absent: tuple[str, ...]
    shares_only: bool = Field(default=False, description="models were not decided about")
    ratios: dict[str, float] = Field(
        default_factory=dict, description="of links and devices that are not as stated"
    )


def why_decide(
    estimate: LoadEstimate,
    absent: tuple[str, ...],
    ratios: Mapping[str, float],
    before: Considered | None,
) -> str:
    """The reason to decide now, in a few words; "" if there is none."""
    if before is None:
        return "nothing was decided yet"
    if absent != before.absent:
        return "nodes came or went"
    other = sorted(n for n in {*ratios, *before.ratios} if ratios.get(n) != before.ratios.get(n))
    if other:
        return f"{other[0]} {NOT_AS_IT_WAS}"
    then = before.estimate
    if estimate.changes > then.changes:
        return LOAD_CHANGED
    if set(estimate.rates_qps) != set(then.rates_qps):
        return "other clients are known"
    if set(estimate.former_qps) < set(then.former_qps):
        return "a former load is forgotten"
    if before.shares_only and is_settled(estimate):
        return "models are to be decided about"
    if then.in_burst and not estimate.in_burst:
        return "the burst is over"
    if estimate.seen_s >= BETTER_KNOWN * then.seen_s:
        return "the load is known better"
    bursty = [
        client
        for client, value in estimate.dispersion.items()
        if value > BURSTIER * max(then.dispersion.get(client, 1.0), 1.0)
    ]
    if bursty:
        return f"{bursty[0]} {BURSTIER_NOW}"
    moved = [
        f"{client}/{task}"
        for client, rates in estimate.rates_qps.items()
        for task, rate in rates.items()
        if abs(rate - then.rates_qps[client].get(task, 0.0))
        > ERRORS_APART * _errors_qps(estimate, then, client, task)
    ]
    if moved:
        return f"the rate of {moved[0]} {RATE_MOVED}"
    others = [
        client
        for client, volume in estimate.volume_qps.items()
        if _asked_otherwise(estimate, then, client) > OTHERWISE * volume
    ]
    return f"{others[0]} {OTHER_BUNDLES}" if others else ""


def load_has_moved(why: str) -> bool:
    """Whether the reason is that the load is another one."""
    return why == LOAD_CHANGED or why.endswith((RATE_MOVED, OTHER_BUNDLES))


def cause_of(why: str) -> str:
    """A reason of `why_decide` without the names in it, so that there are few of them to count."""
    for end, cause in (
        (RATE_MOVED, "a rate has moved"),
        (NOT_AS_IT_WAS, "a link or node is not as it was"),
        (BURSTIER_NOW, "a client sends burstier"),
        (OTHER_BUNDLES, "a client asks other tasks together"),
    ):
        if why.endswith(end):
            return cause
    return why


def _asked_otherwise(now: LoadEstimate, then: LoadEstimate, client: str) -> float:
    """Images/s of a client of which other tasks are asked together than were."""
    after, before = (each.bundles_qps.get(client, {}) for each in (now, then))
    return sum(abs(after.get(name, 0.0) - before.get(name, 0.0)) for name in {*after, *before})


def is_settled(estimate: LoadEstimate) -> bool:
    """Whether a load is known for long enough to think of models."""
    return estimate.seen_s >= SETTLED_S


def _errors_qps(now: LoadEstimate, then: LoadEstimate, client: str, task: str) -> float:
    before = then.error_qps(client, task) if task in then.rates_qps[client] else 0.0
    return float((now.error_qps(client, task) ** 2 + before**2) ** 0.5)
