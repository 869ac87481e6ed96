"""Which nodes compute on the same cores, as the host was when it was profiled.

Example: five nodes with a thread each on a host with two cores. While three of them run a batch,
each gets two thirds of a core and takes 1.5 times as long.
"""

from __future__ import annotations

from typing import NamedTuple

from profiling.profile import Profiles

__all__ = ["SharedHost", "shared_hosts"]


class SharedHost(NamedTuple):
    """Nodes with devices of one host."""

    nodes: frozenset[str]
    at_once: int
    """batches that run without waiting for each other"""

    def slowdown(self, running: float) -> float:
        """How many times as long a batch takes while so many run, itself included."""
        return max(1.0, running / self.at_once)


def shared_hosts(profiles: Profiles) -> tuple[SharedHost, ...]:
    """The hosts of two nodes or more. What emulated devices take is stated, whoever computes
    beside them, so they are none of these."""
    hardware = {each.measured_on: each.origin.hardware for each in profiles.measured if each.origin}
    emulated = {profile.node for profile in profiles.profiles if profile.emulated}
    found = []
    for group in profiles.interference:
        nodes, on = frozenset(group.neighbours_busy) - emulated, hardware.get(group.measured_on)
        if on is None or len(nodes) < 2:
            continue
        at_once = max(1, on.cores // max(1, on.threads)) if on.accelerator == "cpu" else 1
        found.append(SharedHost(nodes, at_once))
    return tuple(found)
