"""Resident memory from files as Linux has them, and of this very process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from profiling.resident import ResidentMemory

STATUS = "Name:\tpython\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\nThreads:\t4\n"
GROW = """
from profiling.resident import ResidentMemory

memory = ResidentMemory()
if memory.forget_peak():
    before = memory.now_bytes()
    block = bytearray(b"x") * 40_000_000
    grown = memory.peak_bytes()
    del block
    memory.forget_peak()
    print(before, grown, memory.peak_bytes())
"""


def test_bytes_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "status").write_text(STATUS)
    memory = ResidentMemory(tmp_path)
    assert memory.now_bytes() == 200 * 1024
    assert memory.peak_bytes() == 300 * 1024
    assert memory.forget_peak()
    assert (tmp_path / "clear_refs").read_text() == "5"


def test_where_the_system_does_not_say_there_is_nothing(tmp_path: Path) -> None:
    memory = ResidentMemory(tmp_path / "nowhere")
    assert memory.now_bytes() is None
    assert memory.peak_bytes() is None
    assert not memory.forget_peak()
    (tmp_path / "status").write_text("VmRSS:\tmany kB\n")
    assert ResidentMemory(tmp_path).now_bytes() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_peak_of_this_process_is_seen_and_forgotten() -> None:
    """In a process of its own: in one that kept freed memory, a block is found without growing."""
    run = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, check=True)
    if not run.stdout.strip():
        pytest.skip("the system does not let a process forget its peak")
    before, grown, settled = map(int, run.stdout.split())
    assert 35_000_000 < grown - before < 60_000_000
    assert settled < grown - 30_000_000
