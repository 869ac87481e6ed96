"""Profiles that are stale, foreign or partial: refused by the name of what is wrong with them.

- partial: a node of the topology has no profile, or lacks one of a model that was measured;
- stale: a model is another one than was measured;
- foreign: measured on other hardware than serves.

Files of earlier versions, and those made by hand, do not say what was measured: of them only a node
without any profile is refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from cluster.errors import InputError
from cluster.topology import Topology
from models.zoo.cards import ModelCard
from profiling.measured import Hardware
from profiling.profile import Profiles

__all__ = ["refuse_foreign", "refuse_partial", "refuse_stale"]

AGAIN = "run `testbed profile` again"


def refuse_partial(topology: Topology, profiles: Profiles) -> None:
    """Raise `InputError` where a node of `topology` lacks profiles that another one has, and for
    profiles of a node that it does not know."""
    having: dict[str, set[str]] = {}
    for profile in profiles.profiles:
        having.setdefault(profile.node, set()).add(profile.model)
    for name in sorted(having.keys() - {node.name for node in topology.nodes}):
        raise InputError(
            f"the profiles are of another topology: {topology.name!r} has no node {name}; {AGAIN}"
        )
    measured = set().union(*having.values())
    for node in topology.nodes:
        if node.name not in having:
            raise InputError(
                f"the profiles are partial: {node.name} of topology {topology.name!r} has none; "
                f"{AGAIN}"
            )
        if missing := sorted(measured - having[node.name]):
            raise InputError(
                f"the profiles are partial: {node.name} has none of {missing[0]}, which was "
                f"measured; {AGAIN}"
            )


def refuse_stale(cards: Iterable[ModelCard], profiles: Profiles) -> None:
    """Raise `InputError` where a model of `cards` is another one than was measured."""
    digests = {card.name: card.digest for card in cards}
    for each in profiles.measured:
        now = digests.get(each.model)
        if each.origin is not None and now not in (None, each.origin.model_digest):
            raise InputError(
                f"the profile of {each.model} is stale: the model in the zoo is another one than "
                f"was measured at {each.taken_at}; {AGAIN}"
            )


def refuse_foreign(profiles: Profiles, hardware: Iterable[Hardware]) -> None:
    """Raise `InputError` where a profile was measured on none of `hardware`. Cores and threads are
    settings, and may differ."""
    here = {_machine(each) for each in hardware}
    for each in profiles.measured:
        if each.origin is not None and _machine(each.origin.hardware) not in here:
            raise InputError(
                f"the profile of {each.model} is foreign: it was measured on "
                f"{each.origin.hardware}, and no node has that; {AGAIN}"
            )


def _machine(hardware: Hardware) -> tuple[str, str]:
    return hardware.processor, hardware.accelerator
