"""What processes hold, as the kernel says it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.scale.memory import ClusterMemory, ProcessMemory

SMAPS = """55d0-7ffd ---p 00000000 00:00 0                          [rollup]
Rss:              253952 kB
Pss:              147456 kB
Pss_Dirty:        120000 kB
Shared_Clean:      90000 kB
"""


def test_resident_and_proportional_memory_are_read_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "17").mkdir()
    (tmp_path / "17" / "smaps_rollup").write_text(SMAPS)
    assert ProcessMemory.of(17, tmp_path) == ProcessMemory(253952 * 1024, 147456 * 1024)


def test_this_process_holds_no_less_than_its_part_of_what_it_shares() -> None:
    own = ProcessMemory.of(os.getpid())
    assert own.resident_bytes >= own.proportional_bytes > 2**20


def test_a_process_that_has_ended_counts_for_nothing() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert ProcessMemory.of_all([ended.pid]) == ProcessMemory(0, 0)
    assert ProcessMemory.of_all([os.getpid(), ended.pid]).resident_bytes > 2**20


def test_a_cluster_takes_what_its_nodes_and_ray_take() -> None:
    nodes = {"cloud": ProcessMemory(9, 5), "edge-0": ProcessMemory(8, 4)}
    assert ClusterMemory(nodes, ProcessMemory(7, 3)).proportional_bytes == pytest.approx(12)
