"""All nodes on one Ray node of this host, which has one custom resource for each of them.

All of its servers listen on loopback. Links between nodes are held by the nodes themselves.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cluster.machine import check_capacity, read_machine
from cluster.provider_choice import AnyChoice
from cluster.providers.provider import Bringing, NodePlace, Say
from cluster.providers.ray_names import resource_of
from cluster.providers.ray_processes import (
    LOOPBACK,
    RayNode,
    claim_port,
    end_processes,
    folder_for,
    free_port,
    make_folder,
    remove_folder,
    start_ray,
    wait_until_ready,
)
from cluster.providers.state import ClusterError, ClusterState
from cluster.topology import Topology

__all__ = ["PROVIDER", "Local"]

AGAIN = "run `testbed up` again, or with another --port"


class Local:
    """See `Provider`."""

    def check(self, topology: Topology, choice: AnyChoice) -> None:
        """The machine must be large enough."""
        check_capacity(topology.nodes, read_machine())

    def up(self, asked: Bringing) -> ClusterState:
        """One Ray node, its head."""
        port = free_port() if asked.port is None else claim_port(asked.port)
        mark = secrets.token_hex(8)
        state = ClusterState(
            topology=asked.topology,
            address=f"{LOOPBACK}:{port}",
            temp_dir=folder_for(mark),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            link_token=secrets.token_hex(24),
            mark=mark,
        )
        resources = {resource_of(node.name): 1.0 for node in asked.topology.nodes}
        cpus = len(os.sched_getaffinity(0))
        head = RayNode("head", LOOPBACK, resources, cpus, port)
        state.record()
        make_folder(state, secrets.token_hex(24))
        asked.say(f"starting Ray on {state.address}")
        process = start_ray(head, state)
        state = state.model_copy(update={"head_pid": process.pid})
        state.record()
        wait_until_ready([(head, process)], state, AGAIN)
        return state

    def down(self, state: ClusterState, say: Say) -> None:
        """Its processes, its folder and the token."""
        end_processes(state, say)
        remove_folder(state)

    def status(self, state: ClusterState) -> tuple[NodePlace, ...]:
        """All are where the head is."""
        return tuple(NodePlace(n.name, LOOPBACK, state.alive) for n in state.topology.nodes)

    def logs(self, state: ClusterState, node: str) -> tuple[Path, ...]:
        """Those of the one Ray node."""
        return (Path(state.temp_dir) / "head.log",)

    def exec(self, state: ClusterState, node: str, command: Sequence[str]) -> int:
        """A process like any other."""
        try:
            return subprocess.run(command, check=False).returncode
        except OSError as error:
            raise ClusterError(f"{command[0]}: {error.strerror or error}") from None


PROVIDER = Local()
