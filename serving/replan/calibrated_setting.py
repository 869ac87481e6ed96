"""A setting as it is measured: bandwidths and batch times scaled by their ratios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import ByteSize

from cluster.topology import Link, link_name
from profiling.profile import ModelProfile
from serving.setting.setting import Setting

__all__ = ["calibrated"]


def calibrated(setting: Setting, ratios: Mapping[str, float]) -> Setting:
    """`setting` with the bandwidth of each link, and the set-up and marginal cost of all models on
    each node, times its ratio: 'source to target' or node -> ratio. Those left out stay."""
    if not ratios:
        return setting

    def link_as_measured(link: Link) -> Link:
        ratio = ratios.get(link_name(link.source, link.target), 1.0)
        return link.model_copy(update={"bandwidth": ByteSize(max(1, int(link.bandwidth * ratio)))})

    def as_measured(profile: ModelProfile) -> ModelProfile:
        ratio = ratios.get(profile.node, 1.0)
        return profile.model_copy(
            update={
                "setup_s": profile.setup_s * ratio,
                "marginal_s": profile.marginal_s * ratio,
            }
        )

    topology = setting.topology.model_copy(
        update={"links": tuple(map(link_as_measured, setting.topology.links))}
    )
    profiles = setting.profiles.model_copy(
        update={"profiles": tuple(map(as_measured, setting.profiles.profiles))}
    )
    return replace(setting, topology=topology, profiles=profiles)
