"""The demo's hierarchy with what its models take on this machine, and a cluster that is it."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.demand import Demand
from cluster.specs import SPECS
from cluster.topology import Topology
from models.benchmarks.rooms import Rooms
from models.zoo.registry import list_models
from profiling.emulation import profiles_on
from profiling.profile import Profiles
from serving.experiment_runs.on_cluster import ClusterRuns
from serving.runs.find import list_runs
from serving.runs.manifest import FileKind
from serving.setting.setting import Setting
from serving.traffic.images import load_images

__all__ = ["DEVICES", "load_setting", "newest_profiles", "on_devices", "runs_on_cluster"]

DEVICES = ("own", "emulated")
IMAGES = 240


def newest_profiles() -> Path:
    """Profiles of the newest run that has some, or where a file of an older version would be."""
    runs = [run for run in list_runs() if run.has(FileKind.PROFILES)]
    return runs[0].path(FileKind.PROFILES) if runs else Path("out/profiles.json")


def load_setting(profiles: Path) -> Setting:
    """The demo's hierarchy, and what its models take here."""
    measured = Profiles.load(profiles)
    names = {profile.model for profile in measured.profiles}
    return Setting(
        Topology.load(SPECS / "demo.yaml"),
        tuple(card for card in list_models() if card.name in names),
        measured,
    )


def on_devices(setting: Setting, devices: str) -> tuple[Setting, Demand]:
    """`setting` with this machine's devices and the demo's demand, or with the devices of
    `cluster/specs/emulated.yaml`, whose loads are half as large."""
    if devices == "own":
        return setting, Demand.load(SPECS / "demo-demand.yaml")
    topology = Topology.load(SPECS / "emulated.yaml")
    emulated = Setting(topology, setting.cards, profiles_on(topology, setting.profiles))
    return emulated, Demand.load(SPECS / "emulated-demand.yaml")


@contextmanager
def runs_on_cluster(command: str) -> Iterator[ClusterRuns]:
    """A cluster of its own, which ends with it; `command` stands in what is measured."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(number, signal.default_int_handler)
    images = load_images([Rooms("test")], IMAGES)
    with tempfile.TemporaryDirectory() as state_dir:
        os.environ["TESTBED_STATE_DIR"] = state_dir
        with ClusterRuns(images, command, print) as runs:
            yield runs
