"""Options that say something of some nodes: `edge=m5.large`, by tier, by node, or of all."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.errors import InputError
from cluster.topology import Tier, Topology

__all__ = ["ALL", "HEAD", "values_by_node"]

HEAD = "head"
"""what the machine of Ray's head is called, which is no node of the topology"""
ALL = "all"


def values_by_node(
    topology: Topology, given: Sequence[str], option: str, form: str
) -> dict[str, tuple[str, ...]]:
    """What `given` has for the head and for each node: what is said of all first, then of its tier,
    then of itself.

    Raises `InputError`, which names `option` and the `form` of its values, for one without a `=`
    and for one of nobody.
    """
    tiers = {node.name: str(node.tier) for node in topology.nodes}
    names = {HEAD: HEAD} | tiers
    known = (ALL, HEAD, *Tier, *tiers)
    pairs = []
    for text in given:
        who, parted, value = text.partition("=")
        if not (parted and value):
            raise InputError(f"{option}: expected {form}, got {text[:60]!r}")
        if who not in known:
            raise InputError(
                f"{option} {text[:60]}: {who!r} is no node, no tier and neither {HEAD} nor {ALL}; "
                f"nodes: {', '.join(tiers)}"
            )
        pairs.append((who, value))
    return {
        name: tuple(
            value
            for of in dict.fromkeys((ALL, tier, name))
            for who, value in pairs
            if who == of
        )
        for name, tier in names.items()
    }  # fmt: skip
