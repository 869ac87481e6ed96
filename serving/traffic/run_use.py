"""What nodes, links and the machine did while a run took place: differences of two readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import psutil
from pydantic import Field

from cluster.document import FrozenModel
from cluster.topology import link_name
from serving.node.snapshot import LinkUse, NodeSnapshot

__all__ = ["HostTimes", "HostUse", "RunUse", "host_use", "read_host_times", "use_between"]

N = TypeVar("N", int, float)


class HostUse(FrozenModel):
    """The machine that drove the traffic, which on a cluster of one machine serves it too."""

    busy_share: float = Field(ge=0, le=1, description="of the time of all its cores")
    stolen_share: float = Field(
        ge=0, le=1, description="of that time, given to other virtual machines"
    )


@dataclass(frozen=True)
class HostTimes:
    """Seconds of all cores together since the machine started."""

    busy_s: float
    stolen_s: float
    total_s: float


@dataclass(frozen=True)
class RunUse:
    """What was used in the course of a run."""

    busy_s: Mapping[str, float] = field(default_factory=dict)
    """device-busy seconds by node"""
    wall_s: Mapping[str, float] = field(default_factory=dict)
    """by node, what its batches took by the clock on the wall: more than `busy_s` where they waited
    for a core"""
    batches: Mapping[str, int] = field(default_factory=dict)
    """by node that emulates a device"""
    late_batches: Mapping[str, int] = field(default_factory=dict)
    """of these, those that came later than from the device"""
    link_bytes: Mapping[str, int] = field(default_factory=dict)
    """that went up, by link: 'source to target'"""
    link_busy_s: Mapping[str, float] = field(default_factory=dict)
    """seconds in which the link carried them"""
    host: HostUse | None = None


def read_host_times() -> HostTimes:
    """The times of this machine's cores now; waiting for a disk is no work of theirs."""
    now = psutil.cpu_times()
    stolen_s = float(getattr(now, "steal", 0.0))
    # Guests' time is among users' already.
    guests_s = float(getattr(now, "guest", 0.0)) + float(getattr(now, "guest_nice", 0.0))
    idle_s = float(now.idle) + float(getattr(now, "iowait", 0.0))
    total_s = float(sum(now)) - guests_s
    return HostTimes(busy_s=total_s - idle_s - stolen_s, stolen_s=stolen_s, total_s=total_s)


def host_use(before: HostTimes, after: HostTimes) -> HostUse | None:
    """Between two readings; None if no time passed."""
    total_s = after.total_s - before.total_s
    if total_s <= 0:
        return None

    def share(seconds: float) -> float:
        return min(1.0, max(0.0, seconds / total_s))

    return HostUse(
        busy_share=share(after.busy_s - before.busy_s),
        stolen_share=share(after.stolen_s - before.stolen_s),
    )


def use_between(
    before: Mapping[str, NodeSnapshot],
    after: Mapping[str, NodeSnapshot],
    host: HostUse | None = None,
) -> RunUse:
    """What the nodes of `after` counted since `before`; one that was restarted, or was not there,
    counts from its start."""
    emulating = {name: seen for name, seen in after.items() if seen.emulated}
    links = {
        link_name(node, target): (_link_of(before.get(node), target), use)
        for node, seen in after.items()
        for target, use in seen.links.items()
    }
    return RunUse(
        busy_s=_between(before, after, lambda seen: seen.busy_s),
        wall_s=_between(before, after, _wall_s),
        batches=_between(before, emulating, lambda seen: seen.batches),
        late_batches=_between(before, emulating, lambda seen: seen.late_batches),
        link_bytes={
            name: _since(then.sent_bytes, now.sent_bytes) for name, (then, now) in links.items()
        },
        link_busy_s={name: _since(then.busy_s, now.busy_s) for name, (then, now) in links.items()},
        host=host,
    )


def _wall_s(seen: NodeSnapshot) -> float:
    return sum(total.spent_s for total in seen.batch_totals.values())


def _link_of(seen: NodeSnapshot | None, target: str) -> LinkUse:
    return (seen.links.get(target) if seen is not None else None) or LinkUse(0, 0.0)


def _between(
    before: Mapping[str, NodeSnapshot],
    after: Mapping[str, NodeSnapshot],
    count: Callable[[NodeSnapshot], N],
) -> dict[str, N]:
    return {
        name: _since(count(before[name]), count(seen)) if name in before else count(seen)
        for name, seen in after.items()
    }


def _since(then: N, now: N) -> N:
    return now if now < then else now - then
