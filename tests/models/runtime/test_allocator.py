"""What a process keeps of the memory that a batch frees; each test in a process of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from models.runtime.allocator import ENVIRONMENT

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")

FAULTS = """
import resource, threading
from models.runtime.allocator import give_back_freed_memory, keep_freed_memory
import numpy as np

def faults(of):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    of()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def batch():
    np.ones(200 << 17)  # 200 MiB

def ten():
    for _ in range(10):
        batch()

def main():
    assert {kept} is False or keep_freed_memory()
    batch()
    print(faults(ten), end=" ")
    give_back_freed_memory()
    print(faults(batch))

thread = threading.Thread(target=main)  # as a device's
thread.start()
thread.join()
"""


def faults(kept: bool) -> tuple[int, int]:
    """Page faults of ten batches after the first, and of one after memory was given back."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.replace("{kept}", str(kept))],
        env=os.environ | (ENVIRONMENT if kept else {}),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    ten, one = map(int, done.stdout.split())
    return ten, one


def test_batches_find_the_memory_of_those_before() -> None:
    kept, returned = faults(True)
    lost, _ = faults(False)
    # A fault maps 4 KiB or, where the system gives huge pages, 2 MiB.
    assert returned > 50 > kept
    assert lost > 500
