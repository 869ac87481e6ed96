"""A Ray cluster that the user runs: its nodes are found, and nothing of it is started or stopped.

Where this machine has no Ray node of that cluster, one without resources is added to it, since a
process joins a cluster through a Ray node of its own machine. `down` ends what the testbed added:
that Ray node, and the applications of its nodes and Ray Serve if they did not run before.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cluster.addresses import answers_at, is_loopback, own_address_towards, own_addresses
from cluster.errors import InputError
from cluster.provider_choice import AnyChoice, AttachChoice, own_choice
from cluster.providers import ray_driver, ray_private
from cluster.providers.provider import Bringing, NodePlace, Say
from cluster.providers.ray_names import placed_at
from cluster.providers.ray_nodes import RayNodeSeen, place_nodes, see_nodes
from cluster.providers.ray_processes import (
    RayNode,
    end_processes,
    folder_for,
    make_folder,
    remove_folder,
    start_ray,
    wait_until_ready,
)
from cluster.providers.records import AttachRecord
from cluster.providers.software import own_software, software_fault
from cluster.providers.state import ClusterError, ClusterState, record_of
from cluster.providers.time_limit import within
from cluster.topology import Topology

__all__ = ["PROVIDER", "Attach"]

ANSWER_LIMIT_S = 60.0
"""for a first task on every Ray node, whose worker may have to be started"""


class Attach:
    """See `Provider`."""

    def check(self, topology: Topology, choice: AnyChoice) -> None:
        """Its head must answer."""
        asked = own_choice(choice, AttachChoice)
        for node in asked.match:
            topology.node(node)
        _read_token(asked)
        if not answers_at(asked.address):
            raise ClusterError(
                f"no server answers at {asked.address}, where the head of your Ray cluster should "
                "be; `ray start --head` says the address under which the others join"
            )

    def up(self, asked: Bringing) -> ClusterState:
        """Find every node's Ray node, and look whether it has what a node needs."""
        choice = own_choice(asked.choice, AttachChoice)
        token = _read_token(choice)
        mark = secrets.token_hex(8)
        record = AttachRecord(
            asks_token=token is not None, folder=f"/tmp/testbed-attached-{mark[:8]}"
        )
        state = ClusterState(
            topology=asked.topology.model_copy(update={"provider": choice}),
            address=choice.address,
            temp_dir=folder_for(mark),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            link_token=secrets.token_hex(24),
            mark=mark,
            provider=record,
        )
        state.record()
        make_folder(state, token)
        ray_driver.prepare_ray(asks_token=state.asks_token)
        ray_private.forget_token()
        seen = within(
            ANSWER_LIMIT_S, partial(_see, choice.address), f"{choice.address} gave no answer"
        )
        places = place_nodes(state.topology, seen)
        state = _with(
            state,
            hosts={node: place.host for node, place in places.items()},
            ray_nodes={node: place.id for node, place in places.items()},
            driver_host=_driver_host(choice, seen),
        )
        state.record()
        if record_of(state, AttachRecord).driver_host not in {each.host for each in seen}:
            asked.say(
                "this machine has no Ray node of that cluster: one without resources is added"
            )
            self._add_own_node(state)
        ray_driver.join(state)
        try:
            from cluster.providers.remote_tasks import found_running  # which imports Ray

            state = _with(state, found=found_running())
            state.record()
            asked.say(f"looking at the software of {len(_ids(state))} Ray nodes")
            _refuse_other_software(state)
        finally:
            ray_driver.disconnect()
        return state

    def _add_own_node(self, state: ClusterState) -> None:
        node = RayNode(
            "driver", record_of(state, AttachRecord).driver_host, {}, 0, joins=state.address,
            environment=ray_private.SEVERAL_HOSTS,
        )  # fmt: skip
        hint = "its head must reach this machine, and this machine all others"
        wait_until_ready([(node, start_ray(node, state))], state, hint)

    def down(self, state: ClusterState, say: Say) -> None:
        """What was added goes; the user's cluster stays."""
        record = record_of(state, AttachRecord)
        if record.found is not None:
            try:
                _remove_ours(state, record.found)
            except ClusterError as error:
                say(f"what the testbed started on {state.address} stays there: {error}")
        end_processes(state, say)
        remove_folder(state)

    def status(self, state: ClusterState) -> tuple[NodePlace, ...]:
        """By Ray's own list of its nodes."""
        record = record_of(state, AttachRecord)
        ray_driver.prepare_ray(asks_token=state.asks_token)
        running = {each.id for each in _see(state.address)} if state.alive else set()
        return tuple(
            NodePlace(name, host, record.ray_nodes[name] in running)
            for name, host in record.hosts.items()
        )

    def logs(self, state: ClusterState, node: str) -> tuple[Path, ...]:
        """They are the user's."""
        host = record_of(state, AttachRecord).hosts[node]
        raise ClusterError(
            f"the Ray node of {node} is yours; its files are on {host}, by "
            "default in /tmp/ray/session_latest/logs"
        )

    def exec(self, state: ClusterState, node: str, command: Sequence[str]) -> int:
        """As a task on the node's Ray node: what it wrote is shown when it has ended."""
        ray_driver.join(state)
        try:
            from cluster.providers.remote_tasks import ask, run_there  # which imports Ray

            done = ask([run_there(placed_at(state.topology, node, 0.01), list(command))], None)[0]
        finally:
            ray_driver.disconnect()
        if done.error:
            host = record_of(state, AttachRecord).hosts[node]
            raise ClusterError(f"{command[0]} on {host}: {done.error}")
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        return int(done.status)


def _ids(state: ClusterState) -> set[str]:
    return set(record_of(state, AttachRecord).ray_nodes.values())


def _with(state: ClusterState, **found: object) -> ClusterState:
    provider = record_of(state, AttachRecord).model_copy(update=found)
    return state.model_copy(update={"provider": provider})


def _read_token(choice: AttachChoice) -> str | None:
    if choice.token_file is None:
        return None
    path = choice.token_file.expanduser()
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"token file {path}: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not token:
        raise InputError(f"token file {path} is empty")
    return token


def _see(address: str) -> tuple[RayNodeSeen, ...]:
    try:
        return see_nodes(address)
    except Exception as error:  # noqa: BLE001  Ray has no type for a server that refuses
        reason = " ".join(str(error).split())[:200]
        raise ClusterError(
            f"{address} does not answer as the head of a Ray cluster does: {reason}; if it asks "
            "for a token, name its file with --token-file"
        ) from None


def _driver_host(choice: AttachChoice, seen: Sequence[RayNodeSeen]) -> str:
    """The address of a Ray node of this machine, or that of one which is to be added."""
    head = choice.address.rpartition(":")[0].strip("[]")
    own = own_addresses()
    here = [
        each.host
        for each in seen
        if each.host in own and (is_loopback(head) or not is_loopback(each.host))
    ]
    if here:
        return here[0]
    try:
        return own_address_towards(head)
    except OSError as error:
        raise ClusterError(f"no way to {head}: {error.strerror or error}") from None


def _refuse_other_software(state: ClusterState) -> None:
    """Raise `ClusterError` unless every node's Ray node has what this process runs on."""
    from cluster.providers.remote_tasks import ask, read_software  # which imports Ray

    record, own = record_of(state, AttachRecord), own_software()
    nodes = list(record.hosts)
    calls = [read_software(placed_at(state.topology, node, 0.01)) for node in nodes]
    faults = {
        host: fault
        for node, told in zip(nodes, ask(calls, ANSWER_LIMIT_S), strict=True)
        if (fault := software_fault(told, own)) is not None
        for host in [record.hosts[node]]
    }
    if faults:
        words = "; ".join(f"{host}: {fault}" for host, fault in faults.items())
        raise ClusterError(
            f"{words}; have Ray run there in an environment with the testbed installed as here, "
            "or with its folder in PYTHONPATH"
        )


def _remove_ours(state: ClusterState, found: tuple[str, ...]) -> None:
    """End what the testbed started there, beside what was `found`."""
    if not state.alive:
        raise ClusterError(f"nothing answers at {state.address}")
    ray_driver.join(state)
    try:
        from cluster.providers.remote_tasks import (  # which imports Ray
            ask,
            end_but,
            remove_there,
        )

        record = record_of(state, AttachRecord)
        ending = partial(end_but, found, state.topology)
        within(ANSWER_LIMIT_S, ending, "Ray Serve gave no answer")
        placed = [placed_at(state.topology, node, 0.01) for node in record.hosts]
        head = {"resources": {ray_private.HEAD_RESOURCE: 0.001}}
        ask([remove_there(each, record.folder) for each in [head, *placed]], ANSWER_LIMIT_S)
    finally:
        ray_driver.disconnect()


PROVIDER = Attach()
