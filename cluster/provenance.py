"""Where a file came from: when, on what, with which versions, seed and commit."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from cluster.document import FrozenModel

__all__ = ["Provenance", "collect_provenance"]


class Provenance(FrozenModel):
    """Facts needed to repeat the run that wrote a file."""

    created_at: str
    command: str
    commit: str
    host: str
    processor: str
    cores: int
    versions: dict[str, str]
    seed: int | None = None


def collect_provenance(
    command: str, *, seed: int | None = None, packages: Iterable[str] = ("numpy",)
) -> Provenance:
    """Provenance of a file that `command` is about to write with the named distributions."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return Provenance(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        commit=_commit(),
        host=platform.node(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        versions=versions,
        seed=seed,
    )


def _commit() -> str:
    root = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=root, capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
