"""What verbs say of a link: its name, what it carries, and what it is set to."""

from __future__ import annotations

from typing import Any

from cluster.errors import InputError
from cluster.link import link_name
from cluster.timeline import nearest
from cluster.topology import Topology
from serving.node.links.link_condition import LinkCondition

__all__ = ["check_link", "condition_data", "rate_words"]


def check_link(topology: Topology, source: str, target: str) -> None:
    """Raise `InputError` unless `topology` has a link from `source` up to `target`."""
    known = [link.name for link in topology.links]
    stated = link_name(source, target)
    if stated not in known:
        turned = link_name(target, source)
        near = f"; did you mean {turned}?" if turned in known else nearest(stated, known)
        raise InputError(f"no link leads from {stated}{near}")


def condition_data(condition: LinkCondition) -> dict[str, Any]:
    """What a link is set to, for programs; of a link as the topology has it `now` says that."""
    return {
        "now": str(condition), "cut": condition.is_cut, "silent": condition.silent,
        "share": condition.share, "set_bytes_per_s": condition.bytes_per_s,
        "set_rtt_s": condition.rtt_s,
    }  # fmt: skip


def rate_words(bytes_per_s: float) -> str:
    """As people say it: `350 KB/s`."""
    if bytes_per_s >= 1e6:
        return f"{bytes_per_s / 1e6:.3g} MB/s"
    return f"{bytes_per_s / 1e3:.3g} KB/s"
