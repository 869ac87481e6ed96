"""Cores and memory that the container of this process may use: the limits of its control groups.

A container with half a core on a host of 64 sees 64 cores. What it may use stands in files of its
control group and of those around it, of which the narrowest counts (cgroup v2; v1 as far as it has
the same files).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["cpu_limit", "memory_limit_bytes"]

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
UNLIMITED_BYTES = 2**60
"""v1 writes a number of about 2**63 where there is no limit"""


def cpu_limit(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """Cores' worth of time that this process may use; None without a limit."""
    limits = []
    for folder in _folders(root, membership, "cpu"):
        quota, period = _words(folder / "cpu.max", 2) or ("max", "0")
        if quota == "max":
            quota = (_words(folder / "cpu.cfs_quota_us", 1) or ("-1",))[0]
            period = (_words(folder / "cpu.cfs_period_us", 1) or ("0",))[0]
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def memory_limit_bytes(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes that this process may still take beyond what its groups hold; None without a limit."""
    rooms = []
    names = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
    for folder in _folders(root, membership, "memory"):
        for limit_file, use_file in names:
            limit = (_words(folder / limit_file, 1) or ("max",))[0]
            use = (_words(folder / use_file, 1) or ("0",))[0]
            if limit.isdigit() and int(limit) < UNLIMITED_BYTES and use.isdigit():
                rooms.append(max(0, int(limit) - int(use)))
    return min(rooms, default=None)


def _folders(root: Path, membership: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's groups, innermost first."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root
        folder = top / path.lstrip("/")
        # A container often sees its own group at the top, under whatever name it has outside.
        while True:
            yield folder
            if folder == top or top not in folder.parents:
                break
            folder = folder.parent


def _words(file: Path, count: int) -> tuple[str, ...] | None:
    try:
        words = tuple(file.read_text().split())
    except OSError:
        return None
    return words if len(words) == count else None
