"""A node that emulates a slower device, on a real cluster: later answers, but the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profiling.profile import Profiles
from serving.traffic.measurement import Measurements
from support.testbed_process import Testbed

# A cluster of its own takes two minutes: `make drills` runs it.
pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TOPOLOGY = """
name: emulated
nodes:
  - {name: client-0, tier: client, memory: 60MiB, compute: 0.3, window_s: 0.4, max_batch: 8}
  - name: edge-0
    tier: edge
    device: {emulate: {slower_than_here: 4}}
    memory: 60MiB
    compute: 0.8
    window_s: 0.4
    batching: window
    max_batch: 8
  - {name: cloud, tier: cloud, memory: 60MiB, compute: 0.3, window_s: 0.4, max_batch: 8}
links:
  - {source: client-0, target: edge-0, bandwidth: 2MB, rtt_s: 0.004}
  - {source: edge-0, target: cloud, bandwidth: 2MB, rtt_s: 0.03}
"""
DEMAND = """
name: depth alone
phases: [{duration_s: 10, rates_qps: {client-0: {depth: 8.0}}}]
"""
MODEL = "rooms-small-depth"


def test_an_emulated_node_is_four_times_slower_and_answers_as_others_do(tmp_path: Path) -> None:
    bench = Testbed(tmp_path)
    (tmp_path / "topology.yaml").write_text(TOPOLOGY)
    (tmp_path / "demand.yaml").write_text(DEMAND)

    def run(*arguments: str) -> dict[str, Any]:
        done = bench.run(*arguments, "--json")
        assert done.returncode == 0, f"{arguments}\n{done.stderr}"
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    def drive(policy: str) -> Measurements:
        run("plan", "--policy", policy, "--demand", "demand.yaml")
        run("deploy", "--demand", "demand.yaml")
        run("drive", "--demand", "demand.yaml", "--images", "20")
        return Measurements.load(bench.file("measurements.parquet"))

    try:
        run("up", "topology.yaml")
        run("profile", "--model", MODEL)
        found = Profiles.load(bench.file("profiles.json"))
        here, edge = found.find("client-0", MODEL), found.find("edge-0", MODEL)
        assert here is not None
        assert edge is not None
        for size in (1, 2, 8):
            assert edge.batch_s(size) == pytest.approx(4 * here.batch_s(size))
        plain, emulated = drive("all-local"), drive("all-edge")
        report = run("report", "--demand", "demand.yaml")
        after = bench.nodes()
        # Profiles of another device are refused by name, and change nothing.
        data = json.loads(bench.file("profiles.json").read_text())
        for entry in data["profiles"]:
            entry.pop("emulated", None)
        (tmp_path / "foreign.json").write_text(json.dumps(data))
        foreign = bench.run(
            "deploy", "--demand", "demand.yaml", "--profiles", "foreign.json", "--json"
        )
    finally:
        ended = bench.run("down", timeout_s=60)
    assert ended.returncode == 0, ended.stderr
    assert bench.processes() == []

    assert set(plain.node[plain.answered]) == {"client-0"}
    assert set(emulated.node[emulated.answered]) == {"edge-0"}
    batch_s = emulated.compute_s[emulated.answered]
    profile_s = [edge.batch_s(size) for size in emulated.batch_size[emulated.answered]]
    assert 0.98 <= np.median(batch_s / profile_s) <= 1.1

    answers = dict(zip(plain.image[plain.answered], plain.score[plain.answered], strict=True))
    for image, score in zip(emulated.image, emulated.score, strict=True):
        if score and image in answers:
            assert score == pytest.approx(answers[image], abs=1e-3)

    measured = json.loads((tmp_path / report["report"]).read_text())["measured"]
    assert set(measured["late_batch_share_by_node"]) == {"edge-0"}
    assert after["edge-0"]["batches"] > after["edge-0"]["late_batches"]
    assert after["edge-0"]["device"] == "4 times slower than here, on cpu"
    assert foreign.returncode == 2
    assert "was profiled for a device of its host" in foreign.stderr
