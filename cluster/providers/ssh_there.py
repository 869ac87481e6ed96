"""What `testbed up --provider ssh` runs on each machine, of the files that it has sent there.

`python -m cluster.providers.ssh_there start|stop`, with what was asked as JSON on standard input:
nothing private stands on a command line.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pydantic import Field

from cluster.document import FrozenModel
from cluster.errors import InputError
from cluster.machine import check_capacity, read_machine
from cluster.private_folder import make_private
from cluster.providers import ray_private
from cluster.providers.ray_names import resource_of
from cluster.providers.ray_processes import (
    RayNode,
    end_processes,
    make_folder,
    start_ray,
    wait_until_ready,
)
from cluster.providers.state import ClusterError, ClusterState
from cluster.topology import Node

__all__ = ["JoinRequest", "LeaveRequest"]


class JoinRequest(FrozenModel):
    """Join this machine to a cluster."""

    state: ClusterState
    """with the folder that is the cluster's own on this machine"""
    folder: str
    """of all that the cluster keeps here, that folder in it"""
    host: str
    """its address in the cluster"""
    cpus: int | None
    nodes: tuple[Node, ...]
    token: str = Field(repr=False)
    """that Ray's servers ask for"""


class LeaveRequest(FrozenModel):
    """End all that was started here, whatever of it there is."""

    state: ClusterState
    folder: str


def start(asked: JoinRequest) -> None:
    """Start a Ray node that offers the nodes' resources; it outlives this process."""
    check_capacity(asked.nodes, read_machine())
    make_private(Path(asked.folder))
    _keep_within(asked.state)
    make_folder(asked.state, asked.token)
    cpus = len(os.sched_getaffinity(0)) if asked.cpus is None else asked.cpus
    node = RayNode(
        "ray", asked.host, {resource_of(node.name): 1.0 for node in asked.nodes}, cpus,
        joins=asked.state.address, environment=ray_private.SEVERAL_HOSTS,
    )  # fmt: skip
    hint = f"{asked.host} must be this machine's, and reach the head at {asked.state.address}"
    wait_until_ready([(node, start_ray(node, asked.state))], asked.state, hint)


def stop(asked: LeaveRequest) -> None:
    """End every process with the cluster's mark, and remove its folder."""
    _keep_within(asked.state)
    end_processes(asked.state, lambda _: None)
    shutil.rmtree(asked.folder, ignore_errors=True)


def _keep_within(state: ClusterState) -> None:
    """Have nothing of the cluster among what this user has of other clusters on this machine."""
    os.environ["TESTBED_STATE_DIR"] = f"{state.temp_dir}/state"


def main() -> int:
    """0 if it was done; else the reason stands on standard error, in one line."""
    [what] = sys.argv[1:]
    given = sys.stdin.buffer.read()
    try:
        if what == "start":
            start(JoinRequest.model_validate_json(given))
        else:
            stop(LeaveRequest.model_validate_json(given))
    except (ClusterError, InputError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
