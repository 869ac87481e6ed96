"""A process that loads and frees models again and again stays as large as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAST_BYTES = 10 * 2**20

SCRIPT = """
import psutil
from models.runtime.model_runtime import ModelRuntime
from models.zoo.registry import find_model
import numpy as np

def come_and_go(times):
    for _ in range(times):
        runtime = ModelRuntime.load(find_model("domains-small-all"), max_batch=4)
        runtime.run(np.zeros((4, 64, 64, 3), np.uint8))
        runtime.close()
        del runtime
    return psutil.Process().memory_info().rss

first = come_and_go(4)
print(come_and_go(16) - first)
"""


@pytest.mark.slow  # `make test-slow`; `make soak` watches the memory, too
def test_memory_of_models_that_went_is_there_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) < LEAST_BYTES
