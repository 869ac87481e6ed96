"""What a Serve config of the testbed makes, looked at in a process that may import Ray Serve.

    python -m support.serve_config_cases FOLDER

writes the files that a RayService mounts into FOLDER, and ends with code 0 if all is as it should.
No cluster is started: an `AssignmentStore` of this process stands for the cluster's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from ray import serve
from ray._common.utils import import_attr
from ray.serve.schema import ServeDeploySchema

from cluster.errors import InputError
from cluster.manifests.kuberay import Pods, ray_service
from cluster.wiring import Wiring
from planner.plan import Plan
from serving.deploy import fleet, serve_config
from serving.deploy.assignment_store import AssignmentStore
from serving.ingress.access import DoorConfig
from serving.setting.setting import Setting
from support.demo_setting import planned_demo

TOKENS = {"auth_token": "a" * 32, "link_token": "l" * 32, "door_token": "d" * 32}


def mount(setting: Setting, plan: Plan, folder: Path) -> dict[str, str]:
    """Arguments of the config but for the node: where the files are."""
    files, secrets = folder / "config", folder / "secret"
    setting.topology.save(files / "topology.yaml")
    setting.profiles.save(files / "profiles.json")
    plan.save(files / "plan.json")
    secrets.mkdir()
    for name, token in TOKENS.items():
        (secrets / name).write_text(token + "\n")
    return {"files": str(files), "secrets": str(secrets)}


def launched_by_a_fleet(setting: Setting, store: AssignmentStore) -> dict[str, Any]:
    """The applications that `Fleet.launch` hands to Serve, by name."""
    found: dict[str, Any] = {}

    def run_many(targets: list[Any]) -> list[Any]:
        found.update({target.name: target for target in targets})
        return targets

    fake: Any = SimpleNamespace(
        start=lambda **_: None, run_many=run_many, RunTarget=serve.RunTarget
    )
    launching: Any = fleet
    real, launching.serve = launching.serve, fake
    launching.open_assignments = lambda _: store
    fleet.Fleet.launch(
        setting.topology, setting.base_tasks, setting.largest_query_bytes, TOKENS["link_token"],
        DoorConfig(token=TOKENS["door_token"]), wiring=Wiring(hosts=("10.0.0.2",), private=False),
        profiles=setting.profiles,
    )  # fmt: skip
    launching.serve = real
    return found


def main(folder: Path) -> None:
    """See the module."""
    setting, plan, _ = planned_demo()
    setting = setting.as_planned(plan)
    mounted, store = mount(setting, plan, folder), AssignmentStore(folder / "control")
    opened = []

    def open_here(place: Path) -> AssignmentStore:
        opened.append(place.name)
        return store

    building: Any = serve_config
    building.open_assignments = open_here
    launched = launched_by_a_fleet(setting, store)
    text = ray_service(setting.topology, Pods("i", "2.60.0"))["spec"]["serveConfigV2"]
    schema = ServeDeploySchema.model_validate(yaml.safe_load(text))
    assert schema.proxy_location == "Disabled"
    assert [entry.name for entry in schema.applications] == list(launched)
    for entry in schema.applications:
        of_fleet = launched[entry.name]
        build = import_attr(entry.import_path)
        built = build({**entry.args, **mounted})._bound_deployment
        of_launch = of_fleet.target._bound_deployment
        assert built.init_args == of_launch.init_args, entry.name
        assert built.ray_actor_options == of_launch.ray_actor_options, entry.name
        assert entry.route_prefix is of_fleet.route_prefix is None
    assert set(opened) == {"service"}, "not where `up` empties"
    in_force = store.record().in_force
    assert in_force is not None
    assert in_force.plan.digest == plan.digest
    try:
        serve_config.build({"node": "edge-9", **mounted})
    except InputError as error:
        assert "no node 'edge-9'; nodes: client-0" in str(error)  # noqa: PT017
    else:
        raise AssertionError("a node that there is not was built")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
