"""The benchmark that starts a cluster of its own, with two changes of each kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT

# A cluster of its own: `make drills` runs it.
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_changes_of_plan_are_measured_and_nothing_is_lost(tmp_path: Path) -> None:
    out = tmp_path / "changes.json"
    program = ROOT / "benchmarks" / "bench_changes.py"
    done = subprocess.run(
        [sys.executable, program, "--changes", "2", "--out", out],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    rows = {row["id"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["C4"]["value"] == 0
    assert rows["C4.sent"]["value"] > 0
    assert rows["C1"]["n"] == 2
