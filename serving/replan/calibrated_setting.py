"""A setting as it is measured: bandwidths and batch times scaled by their ratios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cluster.topology import Link
from serving.setting.setting import Setting

__all__ = ["calibrated"]


def calibrated(setting: Setting, ratios: Mapping[str, float]) -> Setting:
    """`setting` with the bandwidth of each link, and the set-up and marginal cost of all models on
    each node, times its ratio: 'source to target' or node -> ratio. Those left out stay."""
    if not ratios:
        return setting

    def link_as_measured(link: Link) -> Link:
        return link.carrying(link.bytes_per_s * ratios.get(link.name, 1.0))

    topology = setting.topology.model_copy(
        update={"links": tuple(map(link_as_measured, setting.topology.links))}
    )
    return replace(setting, topology=topology, profiles=setting.profiles.slowed(ratios))
