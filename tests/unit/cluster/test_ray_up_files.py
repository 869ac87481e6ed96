"""Files for `ray up`: as Ray's own schema wants them, each machine with its nodes' resources."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.manifests.by_node import values_by_node
from cluster.manifests.ray_up import Launch, in_cloud, on_machines
from cluster.providers.ray_driver import ray_settings
from cluster.providers.ray_names import resource_of
from cluster.providers.ray_private import SEVERAL_HOSTS
from cluster.specs import SPECS
from cluster.topology import Topology

DEMO = Topology.load(SPECS / "demo.yaml")
LAUNCH = Launch("me", "/here/machines", key="/here/key", setup=("pip install testbed.whl",))
HEAD = "10.0.0.1"
PLACES = {
    "client-0": "10.0.0.2", "client-1": "10.0.0.20", "client-2": "10.0.0.2",
    "edge-0": "10.0.0.3", "cloud": HEAD,
}  # fmt: skip
INSTANCES = {"head": "m5.large", "cloud": "g5.xlarge"} | {
    name: "t3.large" for name in PLACES if name != "cloud"
}


def prepared(config: dict[str, Any]) -> dict[str, Any]:
    """What Ray makes of a file's content, held to its schema, in a process of its own: others of
    this one's tests do without Ray."""
    code = (
        "import json, sys, yaml\n"
        "from ray.autoscaler._private.util import prepare_config, validate_config\n"
        "found = prepare_config(yaml.safe_load(sys.stdin))\n"
        "validate_config(found)\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=yaml.safe_dump(config), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def started(command: str, folder: Path, *addresses: str) -> subprocess.CompletedProcess[str]:
    """What a start command calls `ray` with, on a machine with these addresses, in the shell that
    Ray's launcher wraps it in."""
    tools = {"hostname": f"echo '{' '.join(addresses)} '", "ray": 'env; printf "%s\\n" "$@"'}
    for name, line in tools.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return subprocess.run(
        ["bash", "-c", f"true && export RAY_HEAD_IP={HEAD} && ({command})"],
        capture_output=True, text=True, check=False, timeout=20,
        env={"PATH": f"{folder}:{os.environ['PATH']}", "HOME": "/home/me"},
    )  # fmt: skip


def offered(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    assert done.returncode == 0, done.stderr
    (word,) = (line for line in done.stdout.splitlines() if line.startswith("--resources="))
    found: dict[str, int] = json.loads(word.partition("=")[2])
    return found


def test_ray_takes_the_file_for_machines_that_are_there() -> None:
    config = prepared(on_machines(DEMO, LAUNCH, HEAD, PLACES))
    assert config["provider"] == {
        "type": "local", "head_ip": HEAD, "worker_ips": ["10.0.0.2", "10.0.0.20", "10.0.0.3"],
    }  # fmt: skip
    assert config["max_workers"] == 3
    assert config["auth"] == {"ssh_user": "me", "ssh_private_key": "/here/key"}
    assert config["setup_commands"] == ["pip install testbed.whl"]
    assert config["file_mounts"] == {"~/.testbed": "/here/machines"}


def test_ray_takes_the_file_for_a_cloud_with_a_type_of_machine_for_each_node() -> None:
    launch = Launch("ubuntu", "/here/machines", image="registry/testbed:0.2")
    config = prepared(in_cloud(DEMO, launch, "eu-central-1", INSTANCES))
    types = config["available_node_types"]
    for node in DEMO.nodes:
        kind = types[resource_of(node.name)]
        assert kind["resources"] == {resource_of(node.name): 1}
        assert (kind["min_workers"], kind["max_workers"]) == (1, 1)
        assert kind["node_config"] == {"InstanceType": INSTANCES[node.name]}
    assert types["head"]["max_workers"] == 0
    assert config["docker"]["image"] == "registry/testbed:0.2"
    assert "ray-wheels" not in json.dumps(config), "Ray's default installs a development version"


def test_rays_schema_is_not_taken_by_anything() -> None:
    config = on_machines(DEMO, LAUNCH, HEAD, PLACES)
    config["worker_start_ray_command"] = config.pop("worker_start_ray_commands")
    with pytest.raises(AssertionError, match="'worker_start_ray_command' was unexpected"):
        prepared(config)


def test_each_machine_offers_the_resources_of_the_nodes_that_it_carries(tmp_path: Path) -> None:
    config = on_machines(DEMO, LAUNCH, HEAD, PLACES)
    (command,) = config["worker_start_ray_commands"][1:]
    for address, names in {
        "10.0.0.2": {"client-0", "client-2"}, "10.0.0.20": {"client-1"}, "10.0.0.3": {"edge-0"},
    }.items():  # fmt: skip
        done = started(command, tmp_path, "172.17.0.1", address, "fe80::1")
        assert offered(done) == {resource_of(name): 1 for name in names}
        assert f"--address={HEAD}:6379" in done.stdout
    (head_command,) = config["head_start_ray_commands"][1:]
    assert offered(started(head_command, tmp_path, HEAD)) == {"testbed-cloud": 1}


def test_a_machine_that_is_not_in_the_file_starts_no_ray(tmp_path: Path) -> None:
    (command,) = on_machines(DEMO, LAUNCH, HEAD, PLACES)["worker_start_ray_commands"][1:]
    done = started(command, tmp_path, "10.0.0.200")
    assert done.returncode == 1
    assert done.stderr == "none of this machine's addresses is one of worker_ips\n"
    assert done.stdout == ""


@pytest.mark.parametrize("key", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_ray_is_started_with_the_environment_of_clusters_on_several_hosts(
    key: str, tmp_path: Path
) -> None:
    launch = Launch("ubuntu", "/here/machines")
    for config in (
        on_machines(DEMO, LAUNCH, HEAD, PLACES),
        in_cloud(DEMO, launch, "eu-central-1", INSTANCES),
    ):
        done = started(config[key][1], tmp_path, "10.0.0.2")
        wanted = {**ray_settings(), **SEVERAL_HOSTS}
        wanted["RAY_AUTH_TOKEN_PATH"] = "/home/me/.testbed/ray-token"
        assert {f"{name}={value}" for name, value in wanted.items()} <= set(done.stdout.split("\n"))


def test_the_token_is_on_no_command_line() -> None:
    config = on_machines(DEMO, LAUNCH, HEAD, PLACES)
    words = [word for line in config["head_start_ray_commands"] for word in shlex.split(line)]
    assert [word for word in words if "TOKEN" in word.upper()] == [
        "RAY_AUTH_MODE=token",
        "RAY_AUTH_TOKEN_PATH=$HOME/.testbed/ray-token;",
    ]


def test_what_is_said_of_a_node_comes_after_what_is_said_of_its_tier_and_of_all() -> None:
    given = ["edge-0=c", "all=a", "client=b", "client-1=d", "head=e"]
    assert values_by_node(DEMO, given, "--instance", "WHO=TYPE") == {
        "head": ("a", "e"), "client-0": ("a", "b"), "client-1": ("a", "b", "d"),
        "client-2": ("a", "b"), "edge-0": ("a", "c"), "cloud": ("a",),
    }  # fmt: skip
