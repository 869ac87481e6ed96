"""A model of one's own on a real cluster: from its file to answers over HTTP."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.specs import SPECS
from models.benchmarks.rooms import Rooms
from serving.client.client import Client
from serving.traffic.images import load_images
from support.paths import ROOT
from support.testbed_process import Testbed

# A cluster of its own takes over a minute: `make drills` runs it.
pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PAGE = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
TOPOLOGY = """\
name: own
nodes:
  # A client that has room for the little network of the page and for no other.
  - {name: client-0, tier: client, memory: 500KiB, compute: 0.3, window_s: 0.4, max_batch: 1}
  - {name: edge-0, tier: edge, memory: 64MiB, compute: 0.3, window_s: 0.4, max_batch: 2}
  - {name: cloud, tier: cloud, memory: 64MiB, compute: 0.3, window_s: 0.4, max_batch: 2}
links:
  - {source: client-0, target: edge-0, bandwidth: 400KB}
  - {source: edge-0, target: cloud, bandwidth: 400KB}
"""
DEMAND = "name: own\nphases:\n  - {duration_s: 5, rates_qps: {client-0: {depth: 2.0}}}\n"


def test_the_pages_model_is_profiled_planned_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = re.search(r"<!-- example: own model -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert source
    bench = Testbed(tmp_path)
    (tmp_path / "my_depth.py").write_text(source.group(1))
    (tmp_path / "own.yaml").write_text(TOPOLOGY)
    (tmp_path / "demand.yaml").write_text(DEMAND)

    def run(*arguments: str) -> dict[str, Any]:
        done = bench.run(*arguments, "--json")
        assert done.returncode == 0, f"{arguments}\n{done.stderr}"
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    run("zoo", "register", "my_depth.py", "--zoo", "my-zoo")
    monkeypatch.setenv("J3O_ZOO", str(tmp_path / "my-zoo"))
    try:
        run("up", "own.yaml")
        run("profile", "--model", "my-depth", "--model", "rooms-small-depth")
        run("plan", "--demand", "demand.yaml", "--policy", "all-local")
        other = bench.run("deploy", "--demand", str(SPECS / "demo-demand.yaml"))
        assert other.returncode == 2
        assert "demo-demand.yaml: rates_qps.client-0.segmentation: unknown" in other.stderr
        run("deploy")
        nodes = {node["node"]: node for node in run("status")["nodes"]}
        assert nodes["client-0"]["models"] == ["my-depth"]
        picture = load_images([Rooms("test")], 1).bodies[0]
        with Client(nodes["client-0"]["url"]) as client:
            found = client.infer("depth", picture)
        assert (found.model, found.node) == ("my-depth", "client-0")
        # The page's network knows rows only: each has one depth, the floor's nearest ones least.
        depth_m = found.values
        assert depth_m.shape == (96, 96)
        np.testing.assert_array_equal(depth_m, np.repeat(depth_m[:, :1], 96, axis=1))
        assert depth_m[0, 0] > depth_m[-1, 0] > 0
    finally:
        ended = bench.run("down", timeout_s=60)
    assert ended.returncode == 0, ended.stderr
    assert bench.processes() == []
