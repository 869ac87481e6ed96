"""Every node in a network namespace of this host, with a Ray node and real links of its own.

Ray's head runs on the host, at its address on the control network, and holds no node: there the
driver and the load generator are. Nothing but the head, the doors and the metrics is reached over
the control network; queries between nodes cross the links.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cluster.addresses import own_addresses
from cluster.environment import has_mark
from cluster.machine import check_capacity, read_machine
from cluster.provider_choice import AnyChoice
from cluster.providers import ray_private
from cluster.providers.netns_enter import enter_command
from cluster.providers.netns_layout import lay_out, spaces_folder
from cluster.providers.netns_rights import check_rights
from cluster.providers.provider import Bringing, NodePlace, Say
from cluster.providers.ray_names import resource_of
from cluster.providers.ray_processes import (
    RayNode,
    claim_port,
    end_processes,
    environment_of,
    folder_for,
    make_folder,
    remove_folder,
    start_ray,
    wait_until_ready,
)
from cluster.providers.records import NetnsRecord
from cluster.providers.state import ClusterState, record_of
from cluster.topology import Topology

__all__ = ["PROVIDER", "Netns"]

AGAIN = "run `testbed up` again"
FIRST_PORT = 6379
"""of Ray's head. The control network is new, so nobody listens there"""


class Netns:
    """See `Provider`."""

    def check(self, topology: Topology, choice: AnyChoice) -> None:
        """The machine must be large enough, and this process allowed to make namespaces."""
        check_capacity(topology.nodes, read_machine())
        check_rights()

    def up(self, asked: Bringing) -> ClusterState:
        """The network, then the head, then a Ray node in each namespace."""
        from cluster.providers import netns_kernel

        mark = secrets.token_hex(8)
        temp_dir = folder_for(mark)
        layout = lay_out(asked.topology, mark, temp_dir, own_addresses())
        record = layout.record
        state = ClusterState(
            topology=asked.topology,
            address=f"{layout.head_host}:{asked.port or FIRST_PORT}",
            temp_dir=temp_dir,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            link_token=secrets.token_hex(24),
            mark=mark,
            provider=record,
        )
        state.record()
        make_folder(state, secrets.token_hex(24))
        asked.say(f"making {len(layout.spaces)} namespaces and {len(layout.links)} links")
        if any(link.rtt_s for link in asked.topology.links):
            asked.say("the kernel holds the links' bandwidth (tbf), the nodes their round trips")
        netns_kernel.build(layout, environment_of(state, {}))
        asked.say(f"starting Ray on {state.address}, and in each namespace")
        head = RayNode(
            "head", layout.head_host, {}, len(os.sched_getaffinity(0)),
            claim_port(asked.port or FIRST_PORT, layout.head_host),
            environment=ray_private.SEVERAL_HOSTS,
        )  # fmt: skip
        process = start_ray(head, state)
        state = state.model_copy(update={"head_pid": process.pid})
        state.record()
        wait_until_ready([(head, process)], state, AGAIN)
        started = []
        for index, space in enumerate(layout.spaces):
            node = RayNode(
                space.node, space.host, {resource_of(space.node): 1.0}, 0,
                folder=f"n{index}", joins=state.address,
                within=enter_command(str(space.path)), environment=ray_private.SEVERAL_HOSTS,
            )  # fmt: skip
            started.append((node, start_ray(node, state)))
        pids = {node.name: process.pid for node, process in started}
        state = state.model_copy(update={"provider": record.model_copy(update={"pids": pids})})
        state.record()
        wait_until_ready(started, state, AGAIN)
        return state

    def down(self, state: ClusterState, say: Say) -> None:
        """Processes first: what they hold open would outlive its name."""
        from cluster.providers import netns_kernel

        record = record_of(state, NetnsRecord)
        end_processes(state, say)
        say(f"removing {len(record.hosts)} namespaces")
        netns_kernel.remove(record.bridge, record.ports, spaces_folder(state.temp_dir))
        remove_folder(state)

    def status(self, state: ClusterState) -> tuple[NodePlace, ...]:
        """By the process that was started in each namespace."""
        record = record_of(state, NetnsRecord)
        return tuple(
            NodePlace(name, host, name in record.pids and has_mark(record.pids[name], state.mark))
            for name, host in record.hosts.items()
        )

    def logs(self, state: ClusterState, node: str) -> tuple[Path, ...]:
        """What the node's Ray said, then what the head's did."""
        return tuple(Path(state.temp_dir) / f"{name}.log" for name in (node, "head"))

    def exec(self, state: ClusterState, node: str, command: Sequence[str]) -> int:
        """In its network namespace; all else is as on the host."""
        space = spaces_folder(state.temp_dir) / node
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [*enter_command(str(space)), *command],
            env={**os.environ, "PYTHONPATH": path}, check=False,
        ).returncode  # fmt: skip


PROVIDER = Netns()
