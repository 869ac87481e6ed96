"""The demo's hierarchy with what its models take on this machine."""

from __future__ import annotations

from pathlib import Path

from cluster.specs import SPECS
from cluster.topology import Topology
from models.zoo.registry import list_models
from profiling.profile import Profiles
from serving.setting.setting import Setting

__all__ = ["load_setting"]


def load_setting(profiles: Path) -> Setting:
    """The demo's hierarchy, and what its models take here."""
    measured = Profiles.load(profiles)
    names = {profile.model for profile in measured.profiles}
    return Setting(
        Topology.load(SPECS / "demo.yaml"),
        tuple(card for card in list_models() if card.name in names),
        measured,
    )
