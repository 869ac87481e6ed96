"""Nodes that Serve starts by a config (a RayService) are those that a fleet launches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from cluster.manifests.kuberay import Pods, ray_service
from cluster.providers.ray_driver import ray_settings
from cluster.providers.state import ClusterState
from support.demo_setting import planned_demo
from support.paths import ROOT
from support.testbed_process import Testbed

READY_S = 120.0


def test_a_config_makes_the_nodes_that_a_fleet_launches_and_puts_its_plan(tmp_path: Path) -> None:
    """In a process of its own: Ray Serve is imported there, before `prepare_ray` was called."""
    done = subprocess.run(
        [sys.executable, "-m", "support.serve_config_cases", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]


@pytest.mark.slow
@pytest.mark.cluster
def test_nodes_of_a_config_hold_its_plan_and_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`serve run` hands the config to the controller as KubeRay's operator does, by way of the
    cluster's driver in place of its dashboard, which `testbed up` does not start."""
    bench = Testbed(tmp_path)
    setting, plan, _ = planned_demo()
    files, secrets = tmp_path / "config", tmp_path / "secret"
    setting.topology.save(files / "topology.yaml")
    setting.profiles.save(files / "profiles.json")
    plan.save(files / "plan.json")
    secrets.mkdir()
    for name in ("link_token", "door_token"):
        (secrets / name).write_text(name * 4)
    config = yaml.safe_load(ray_service(setting.topology, Pods("-", "-"))["spec"]["serveConfigV2"])
    for entry in config["applications"]:
        entry["args"] |= {"files": str(files), "secrets": str(secrets)}
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("TESTBED_STATE_DIR", bench.state)
    try:
        assert bench.run("up").returncode == 0
        address = ClusterState.load(Path(bench.state) / "cluster.json").address
        done = subprocess.run(
            [Path(sys.executable).parent / "serve", "run", "--non-blocking", "--address", address,
             "--app-dir", str(secrets), "serve.yaml"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
            env={**os.environ, **ray_settings(), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2_000:]
        wanted = {
            node.name: (1, sorted(plan.onloading.get(node.name, ())))
            for node in setting.topology.nodes
        }
        deadline_s = time.monotonic() + READY_S
        held: dict[str, tuple[int, list[str]]] = {}
        while held != wanted and time.monotonic() < deadline_s:
            time.sleep(2.0)
            status = bench.run("status", "--json")
            if status.returncode == 0:
                held = {
                    row["node"]: (row["plan_version"], sorted(row["models"]))
                    for row in json.loads(status.stdout)["nodes"]
                }
        assert held == wanted
        asked = bench.run("ask", "room", next(iter(plan.load_qps["client-0"])))
        assert asked.returncode == 0, asked.stderr
    finally:
        ended = bench.run("down", timeout_s=60)
    assert ended.returncode == 0, ended.stderr
    assert bench.processes() == []
