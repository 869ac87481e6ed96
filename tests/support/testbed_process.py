"""A testbed run as a user would run it: one process a command."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from support.paths import ROOT
from support.run_files import run_file

__all__ = ["ROOT", "Testbed", "commands_of", "readme_blocks"]


@dataclass
class Testbed:
    """Runs `testbed` as a user would, in a scratch folder with a state folder of its own."""

    __test__ = False
    folder: Path
    done: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    """what the README's commands printed, by verb"""

    @property
    def state(self) -> str:
        return str(self.folder / "state")

    def run(self, *arguments: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TESTBED_STATE_DIR": self.state,
            "COLUMNS": "160",
        }
        return subprocess.run(
            [sys.executable, "-m", "testbed", *arguments],
            cwd=self.folder, env=environment, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip

    def file(self, name: str) -> Path:
        """A file of the newest run."""
        return run_file(self.folder, name)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What `testbed status` says of each node."""
        found = json.loads(self.run("status", "--json").stdout)["nodes"]
        return {node["node"]: node for node in found}

    def replica(self, node: str) -> psutil.Process:
        """The process that serves as `node`."""
        for process in psutil.process_iter(["cmdline", "environ"]):
            named = f"ServeReplica:testbed-{node}:" in " ".join(process.info["cmdline"] or ())
            if named and (process.info["environ"] or {}).get("TESTBED_STATE_DIR") == self.state:
                return process
        raise AssertionError(f"no replica of {node} runs")

    def processes(self) -> list[str]:
        """Command lines of what still runs of this testbed's cluster."""
        return [
            " ".join(process.info["cmdline"] or ())
            for process in psutil.process_iter(["cmdline", "environ"])
            if (process.info["environ"] or {}).get("TESTBED_STATE_DIR") == self.state
        ]


def readme_blocks() -> list[str]:
    """The shell blocks of the README, in order: make, the walk, planning alone, a query."""
    return re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def commands_of(block: str) -> list[list[str]]:
    """The commands of a block as argument lists, comments left out."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]
