"""Cores and memory are the container's, not the host's."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.container import cpu_limit, memory_limit_bytes


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    (tmp_path / "cgroup/a/b").mkdir(parents=True)
    (tmp_path / "membership").write_text("0::/a/b\n")
    return tmp_path


def limits(groups: Path) -> tuple[float | None, int | None]:
    places = groups / "cgroup", groups / "membership"
    return cpu_limit(*places), memory_limit_bytes(*places)


def write(groups: Path, name: str, words: str) -> None:
    (groups / "cgroup" / name).write_text(words + "\n")


def test_half_a_core_and_400_megabytes_are_what_there_is(groups: Path) -> None:
    write(groups, "a/b/cpu.max", "50000 100000")
    write(groups, "a/b/memory.max", str(400 * 2**20))
    write(groups, "a/b/memory.current", str(100 * 2**20))
    assert limits(groups) == (0.5, 300 * 2**20)


def test_the_narrowest_group_counts(groups: Path) -> None:
    write(groups, "a/b/cpu.max", "max 100000")
    write(groups, "a/cpu.max", "150000 100000")
    write(groups, "cpu.max", "800000 100000")
    write(groups, "a/memory.max", "1000")
    write(groups, "a/memory.current", "1500")
    assert limits(groups) == (1.5, 0)


def test_no_limit_is_none(groups: Path) -> None:
    assert limits(groups) == (None, None)
    write(groups, "a/b/cpu.max", "max 100000")
    write(groups, "a/b/memory.max", "max")
    assert limits(groups) == (None, None)
    assert cpu_limit(groups / "cgroup", groups / "no such file") is None


def test_the_first_version_of_control_groups_is_read_too(groups: Path) -> None:
    (groups / "membership").write_text("4:memory:/a\n3:cpu,cpuacct:/a\n1:name=systemd:/x\n")
    for folder in ("cpu/a", "memory/a"):
        (groups / "cgroup" / folder).mkdir(parents=True)
    write(groups, "cpu/a/cpu.cfs_quota_us", "25000")
    write(groups, "cpu/a/cpu.cfs_period_us", "100000")
    write(groups, "cpu/cpu.cfs_quota_us", "-1")
    write(groups, "memory/a/memory.limit_in_bytes", "5000")
    write(groups, "memory/a/memory.usage_in_bytes", "1000")
    write(groups, "memory/memory.limit_in_bytes", "9223372036854771712")
    assert limits(groups) == (0.25, 4_000)


def test_the_container_this_runs_in_is_read_without_a_fault() -> None:
    allowed, room = cpu_limit(), memory_limit_bytes()
    assert allowed is None or allowed > 0
    assert room is None or room >= 0
