"""Run a command while other processes take the cores, as on a shared machine: `crowded.py COMMAND`.

A test that passes alone and fails here leans on a quick machine. Each process burns a core for
.1 to .8 s and rests up to .2 s, so that a test also meets the end of a burst in its middle.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import time

__all__ = ["run_crowded"]

BUSY_S, REST_S = (0.1, 0.8), (0.0, 0.2)


def run_crowded(command: list[str], processes: int) -> int:
    """The exit code of `command`, run beside that many processes that burn a core each."""
    context = multiprocessing.get_context("spawn")
    crowd = [context.Process(target=_burn, args=(seed,), daemon=True) for seed in range(processes)]
    for process in crowd:
        process.start()
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        for process in crowd:
            process.kill()
            process.join()


def _burn(seed: int) -> None:
    draws = random.Random(seed)
    while True:
        end_s = time.monotonic() + draws.uniform(*BUSY_S)
        while time.monotonic() < end_s:
            pass
        time.sleep(draws.uniform(*REST_S))


if __name__ == "__main__":
    sys.exit(run_crowded(sys.argv[1:], os.cpu_count() or 1))
