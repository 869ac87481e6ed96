"""`testbed manifests`: files that are written whole, and what to run with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.specs import SPECS
from planner.policies import Options, solve
from serving.cli.main import run
from support.demo_setting import demo_demand, demo_setting

KUBERAY = ["manifests", "kuberay", "--image", "registry/testbed:0.2", "--out", "k8s"]
RAY_UP = ["manifests", "ray-up", "--ssh-user", "me", "--out", "machines"]
AWS = ["--cloud", "aws", "--region", "eu-central-1"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def test_a_ray_cluster_for_kuberay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--namespace", "lab", "--affinity", "client=zone=a"]
    assert run([*KUBERAY, *options]) == 0
    said = capsys.readouterr().out
    assert (
        "next: kubectl apply -f k8s/secret.yaml -f k8s/config.yaml -f k8s/raycluster.yaml" in said
    )
    assert "kubectl exec -it --namespace lab" in said
    cluster = read(folder / "k8s" / "raycluster.yaml")
    assert cluster["metadata"]["namespace"] == "lab"
    groups = cluster["spec"]["workerGroupSpecs"]
    somewhere = ["affinity" in group["template"]["spec"] for group in groups]
    assert somewhere == [True, True, True, False, False]
    assert {path.name: path.stat().st_mode & 0o777 for path in (folder / "k8s").iterdir()} == {
        "secret.yaml": 0o600, "config.yaml": 0o600, "raycluster.yaml": 0o600,
    }  # fmt: skip


def test_tokens_are_drawn_once_for_a_folder(folder: Path) -> None:
    assert run(KUBERAY) == 0
    first = read(folder / "k8s" / "secret.yaml")["stringData"]
    assert len(set(first.values())) == 3
    assert min(map(len, first.values())) == 48
    assert run([*KUBERAY, "--namespace", "lab"]) == 0
    assert read(folder / "k8s" / "secret.yaml")["stringData"] == first
    assert run([*RAY_UP, "--host", "all=10.0.0.1"]) == 0
    token = (folder / "machines" / "machines" / "ray-token").read_text()
    assert run([*RAY_UP, *AWS, "--instance", "all=m5.large", "--setup", "pip install x"]) == 0
    assert (folder / "machines" / "machines" / "ray-token").read_text() == token


def test_another_secret_is_not_written_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "k8s").mkdir()
    (folder / "k8s" / "secret.yaml").write_text("kind: Secret\nstringData: {password: p}\n")
    assert run(KUBERAY) == 2
    assert "k8s/secret.yaml: is there, and has no tokens of the" in capsys.readouterr().err
    assert [path.name for path in (folder / "k8s").iterdir()] == ["secret.yaml"]


def test_a_ray_service_with_a_plan(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setting, phase = demo_setting(), demo_demand().phases[0]
    setting.profiles.save(folder / "profiles.json")
    plan = solve(setting.problem(phase), "all-local", Options()).plan
    plan.model_copy(update={"load_qps": phase.rates_qps}).save(folder / "plan.json")
    assert run([*KUBERAY, "--plan", "plan.json"]) == 2
    assert "a RayService takes --plan and --profiles" in capsys.readouterr().err
    both = ["--plan", "plan.json", "--profiles", "profiles.json"]
    assert run([*KUBERAY, *both, "--json"]) == 0
    written = ["k8s/secret.yaml", "k8s/config.yaml", "k8s/rayservice.yaml"]
    assert json.loads(capsys.readouterr().out) == {"files": written}
    data = read(folder / "k8s" / "config.yaml")["data"]
    assert data["plan.json"] == (folder / "plan.json").read_text()
    assert data["profiles.json"] == (folder / "profiles.json").read_text()


def test_a_plan_over_its_budget_makes_no_service(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting, phase = demo_setting(), demo_demand().phases[0]
    setting.profiles.save(folder / "profiles.json")
    plan = solve(setting.problem(phase), "all-local", Options()).plan
    held = {**plan.onloading, "client-2": tuple(card.name for card in setting.cards)}
    update = {"onloading": held, "load_qps": phase.rates_qps}
    plan.model_copy(update=update).save(folder / "plan.json")
    assert run([*KUBERAY, "--plan", "plan.json", "--profiles", "profiles.json"]) == 3
    assert "client-2" in capsys.readouterr().err
    assert not (folder / "k8s").exists()


def test_a_file_for_machines_that_are_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = ["--host", "all=10.0.0.1", "--host", "edge=10.0.0.2", "--ssh-key", "key"]
    assert run([*RAY_UP, *hosts]) == 0
    said = capsys.readouterr().out
    assert "next: ray up machines/cluster.yaml" in said
    assert "then, on 10.0.0.1: testbed up ~/.testbed/topology.yaml" in said
    config = read(folder / "machines" / "cluster.yaml")
    assert config["provider"]["worker_ips"] == ["10.0.0.2"]
    assert config["auth"]["ssh_private_key"] == str(folder / "key")
    assert config["file_mounts"] == {"~/.testbed": str(folder / "machines" / "machines")}
    topology = read(folder / "machines" / "machines" / "topology.yaml")
    assert topology["provider"] == {
        "kind": "attach", "address": "10.0.0.1:6379", "token_file": "~/.testbed/ray-token",
    }  # fmt: skip
    token = folder / "machines" / "machines" / "ray-token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.read_text() not in (folder / "machines" / "cluster.yaml").read_text()


def test_a_file_for_a_cloud(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instances = ["--instance", "all=m5.large", "--instance", "cloud=g5.xlarge"]
    assert run([*RAY_UP, *AWS, *instances, "--image", "registry/testbed:0.2", "--json"]) == 0
    written = ["machines/cluster.yaml", "machines/machines/ray-token"]
    assert json.loads(capsys.readouterr().out) == {"files": written}
    types = read(folder / "machines" / "cluster.yaml")["available_node_types"]
    assert types["testbed-cloud"]["node_config"] == {"InstanceType": "g5.xlarge"}


@pytest.mark.parametrize("verb", [KUBERAY, [*RAY_UP, "--host", "all=10.0.0.1"]], ids=str)
def test_nothing_is_written_of_a_topology_that_cannot_be_had(
    verb: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (SPECS / "emulated.yaml").read_text().replace("{slower_than_here: 8}", "jetson-nana", 1)
    (folder / "nobodys.yaml").write_text(text)
    assert run([*verb, "nobodys.yaml"]) == 2
    assert "nobodys.yaml" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["nobodys.yaml"]


def test_files_of_a_folder_that_cannot_be_written_are_refused_before_anything_is_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(SPECS / "demo.yaml", folder / "k8s")
    assert run(KUBERAY) == 2
    assert "--out: k8s cannot be written: k8s is no folder" in capsys.readouterr().err
