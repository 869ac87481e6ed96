"""Each module has at most one real cluster, under a state folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Testbed:
    """Runs `testbed` as a user would, in a scratch folder."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TESTBED_STATE_DIR": str(folder / "state"),
            "COLUMNS": "160",
        }

    def run(self, *arguments: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "serving.cli.main", *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def testbed(tmp_path_factory):
    bench = Testbed(tmp_path_factory.mktemp("bench"))
    yield bench
    bench.run("down", timeout_s=60)


def processes_of(bench: Testbed) -> list[str]:
    """Command lines of processes that still run under the bench's state folder."""
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        environment = process.info["environ"] or {}
        if environment.get("TESTBED_STATE_DIR") == bench.environment["TESTBED_STATE_DIR"]:
            found.append(" ".join(process.info["cmdline"] or ()))
    return found
