"""Nodes that Ray Serve starts by a config, with no driver of the testbed: a KubeRay RayService.

A Serve config names an application by the function that makes it and that function's arguments:

    applications:
      - name: testbed-edge-0
        route_prefix: null
        import_path: serving.deploy.serve_config:build
        args: {node: edge-0, files: /etc/testbed/config, secrets: /etc/testbed/secret}

`cluster.manifests.kuberay` writes one entry a node. Serve calls `build` in a process of the
cluster, wherever that is: `files` and `secrets` are mounted everywhere. The nodes are as
`Fleet.launch` starts them, and the plan is in the store of assignments before the first of them
looks there; from then on `testbed deploy` puts others in force as on any cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.document import FrozenModel
from cluster.providers.ray_names import placed_at
from cluster.providers.state import log_folder, state_path
from cluster.topology import Topology
from cluster.wiring import Wiring
from models.zoo.registry import list_models
from planner.plan import Plan
from profiling.profile import Profiles
from serving.deploy.assignments import open_assignments
from serving.deploy.initial_plan import put_first_plan
from serving.deploy.node_configs import node_configs
from serving.deploy.replica import LogConfig, make_application
from serving.ingress.access import DoorConfig
from serving.setting.setting import Setting

__all__ = ["ServiceArguments", "build"]


class ServiceArguments(FrozenModel):
    """What the config says of one application."""

    node: str
    files: Path
    """folder with topology.yaml, profiles.json and plan.json"""
    secrets: Path
    """folder with link_token, what nodes show each other, and door_token, what callers bring"""

    def secret(self, name: str) -> str:
        """One of them."""
        return (self.secrets / name).read_text().strip()


def build(arguments: dict[str, Any]) -> Any:
    """The Serve application of one node, by the `ServiceArguments` of its config. Raises
    `InputError` for a node that there is not, and for files that do not belong together."""
    given = ServiceArguments.model_validate(arguments)
    topology = Topology.load(given.files / "topology.yaml")
    wanted = topology.node(given.node).name
    plan = Plan.load(given.files / "plan.json")
    setting = _setting(topology, Profiles.load(given.files / "profiles.json")).as_planned(plan)
    configs = node_configs(
        topology, setting.base_tasks, setting.largest_query_bytes, given.secret("link_token"),
        Wiring(private=False), setting.profiles,
    )  # fmt: skip
    # Not the folder of `testbed up`, which begins by emptying it.
    store = open_assignments(state_path().absolute().with_name("service"))
    put_first_plan(store, setting, plan)
    (config,) = (each for each in configs if each.node.name == wanted)
    door = DoorConfig(token=given.secret("door_token"))
    log = LogConfig(str(log_folder().absolute()))
    return make_application(config, door, log, placed_at(topology, wanted, 0.5))


def _setting(topology: Topology, profiles: Profiles) -> Setting:
    names = {profile.model for profile in profiles.profiles}
    return Setting(topology, tuple(c for c in list_models() if c.name in names), profiles)
