"""A setting as it is measured: bandwidths, round trips and batch times by their ratios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cluster.topology import Link
from serving.replan.estimate.calibration import measured_rtt_s, round_trip_of
from serving.setting.setting import Setting

__all__ = ["calibrated"]


def calibrated(setting: Setting, ratios: Mapping[str, float]) -> Setting:
    """`setting` with the bandwidth and the round trip of each link, and the set-up and marginal
    cost of all models on each node, by the ratios of `Calibration.used`. Those left out stay."""
    if not ratios:
        return setting

    def link_as_measured(link: Link) -> Link:
        found = link.carrying(link.bytes_per_s * ratios.get(link.name, 1.0))
        trip = ratios.get(round_trip_of(link.name))
        if trip is None:
            return found
        return found.model_copy(update={"rtt_s": round(measured_rtt_s(trip, link.rtt_s), 5)})

    topology = setting.topology.model_copy(
        update={"links": tuple(map(link_as_measured, setting.topology.links))}
    )
    return replace(setting, topology=topology, profiles=setting.profiles.slowed(ratios))
