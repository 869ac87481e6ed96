"""How many queries a second of a core the simulator passes through the demo (row T7.rate).

In a process of its own, since modules are taken compiled (`TESTBED_COMPILED`) from its start or not
at all. Prints one number for each seed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster.demand import Demand
from cluster.specs import SPECS
from demo_hierarchy import load_setting
from planner.policies import Options, solve
from profiling.profile import Profiles
from serving.compiled_modules import VARIABLE
from serving.simulation.simulate import simulate

__all__ = ["rates_qps"]

RUN_S = 600.0


def rates_qps(profiles: Profiles, seeds: int, *, compiled: bool) -> list[float]:
    """Queries ÷ the seconds that the process took for them, one for each seed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "profiles.json"
        profiles.save(file)
        done = subprocess.run(
            [sys.executable, __file__, str(file), str(seeds)],
            env={**os.environ, VARIABLE: "1" if compiled else ""},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    return [float(line) for line in done.stdout.split()]


def main(file: Path, seeds: int) -> None:
    """Print the rate of each seed."""
    setting = load_setting(file)
    phase = Demand.load(SPECS / "demo-demand.yaml").phases[0]
    plan = solve(setting.problem(phase), "certified", Options()).plan
    longer = phase.model_copy(update={"duration_s": RUN_S})
    for seed in range(seeds):
        begun_s = time.process_time()
        rows = simulate(setting, plan, [longer], seed=seed)
        print(len(rows) / (time.process_time() - begun_s))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
