"""A process that changes plans as `testbed deploy` does, and stops before each step until told.

Reads lines: `apply PLAN`, then `go` for each step. Prints `ready`, `step NAME NUMBER`, and at the
end `done VERSION` or `failed CLASS: MESSAGE`.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

from cluster.demand import Phase
from cluster.providers import ray_driver
from planner.plan import Plan
from profiling.profile import Profiles
from serving.rollout.execute import Step
from serving.rollout.stages import Stage
from serving.setting.setting import Setting

__all__ = ["read_setting"]


def read_setting(folder: Path) -> tuple[Setting, Phase]:
    """What the drills' cluster was deployed with."""
    from cluster.topology import Topology
    from models.zoo.registry import find_model

    profiles = Profiles.load(folder / "profiles.json")
    cards = tuple(find_model(name) for name in dict.fromkeys(p.model for p in profiles.profiles))
    topology = Topology.load(folder / "topology.yaml")
    rates = {node.name: {"depth": 1.0, "segmentation": 1.0} for node in topology.clients}
    return Setting(topology, cards, profiles), Phase(duration_s=600.0, rates_qps=rates)


def main() -> None:
    """Change plans until standard input ends."""
    setting, phase = read_setting(Path(sys.argv[1]))
    ray_driver.connect()
    from serving.deploy.fleet import Fleet

    fleet = Fleet.attach(setting.topology)
    assert fleet is not None
    seen: Counter[Step] = Counter()

    async def stop_before(step: Step, stage: Stage, version: int) -> None:
        seen[step] += 1
        print(f"step {step} {seen[step]}", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

    print("ready", flush=True)
    while words := sys.stdin.readline().split():
        if words[0] != "apply":
            continue
        seen.clear()
        try:
            change = fleet.apply(Plan.load(words[1]), setting, phase, on_step=stop_before)
        except Exception as error:  # noqa: BLE001 - the drill judges it
            print(f"failed {type(error).__name__}: {' '.join(str(error).split())}", flush=True)
        else:
            print(f"done {change.version}", flush=True)


if __name__ == "__main__":
    main()
