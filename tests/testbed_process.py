"""A testbed run as a user would run it: one process a command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil

__all__ = ["ROOT", "Testbed", "readme_commands"]

ROOT = Path(__file__).resolve().parents[1]


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
            [sys.executable, "-m", "serving.cli.main", *arguments],
            cwd=self.folder, env=environment, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip

    def processes(self) -> list[str]:
        """Command lines of what still runs of this testbed's cluster."""
        return [
            " ".join(process.info["cmdline"] or ())
            for process in psutil.process_iter(["cmdline", "environ"])
            if (process.info["environ"] or {}).get("TESTBED_STATE_DIR") == self.state
        ]


def readme_commands() -> list[list[str]]:
    """The commands of the README's walk through the stages, as argument lists."""
    section = (ROOT / "README.md").read_text().split("## Stage by stage")[1]
    block = re.search(r"```sh\n(.*?)```", section, re.S)
    assert block is not None
    lines = [line.split("#")[0].strip() for line in block.group(1).splitlines()]
    return [shlex.split(line) for line in lines if line]
