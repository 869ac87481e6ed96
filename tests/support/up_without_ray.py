"""`testbed up --provider netns` without Ray: real namespaces, and in each a process that sleeps."""

from __future__ import annotations

import subprocess
import sys
import time
from unittest.mock import patch

from cluster.provider_choice import NetnsChoice
from cluster.providers import lifecycle, netns
from cluster.providers.ray_processes import RayNode, environment_of
from cluster.providers.state import ClusterState
from cluster.specs import SPECS
from cluster.topology import Topology


def start(node: RayNode, state: ClusterState) -> subprocess.Popen[bytes]:
    """What stands in for a Ray node."""
    return subprocess.Popen(
        [*node.within, sys.executable, "-c", "import time; time.sleep(300)"],
        stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        env=environment_of(state, {}), start_new_session=True, cwd=state.temp_dir,
    )  # fmt: skip


def main() -> None:
    """Bring it up, and say so."""
    print("begun", flush=True)
    with (
        patch.object(netns, "start_ray", start),
        patch.object(netns, "wait_until_ready", lambda *_: time.sleep(0.3)),
    ):
        lifecycle.up(Topology.load(SPECS / "demo.yaml"), choice=NetnsChoice())
    print("up", flush=True)


if __name__ == "__main__":
    main()
