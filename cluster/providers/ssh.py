"""Machines that are reached by ssh: a Ray node is started on each, and its head on this one.

This machine holds no node: here the driver and the load generator are. What is shown on a machine's
command lines is no secret: tokens travel on the standard input of `ssh`.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from cluster.addresses import own_addresses
from cluster.environment import MARK
from cluster.errors import InputError
from cluster.provider_choice import AnyChoice, SshChoice, SshHost, own_choice
from cluster.providers import ray_driver, ray_private
from cluster.providers.provider import Bringing, NodePlace, Say
from cluster.providers.ray_nodes import see_nodes
from cluster.providers.ray_processes import (
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
from cluster.providers.records import SshMachine, SshRecord
from cluster.providers.shipped_code import pack_code
from cluster.providers.software import Software, own_software, versions_fault
from cluster.providers.ssh_command import quoted_path, run_on, ssh_command
from cluster.providers.ssh_look import LOOK, MachineLook
from cluster.providers.ssh_there import JoinRequest, LeaveRequest
from cluster.providers.state import ClusterError, ClusterState, record_of
from cluster.topology import Topology

__all__ = ["PROVIDER", "Ssh"]

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 16
"""machines that are asked at the same time"""
LOOK_LIMIT_S = 30.0
START_LIMIT_S = 120.0
SHIP_LIMIT_S = 600.0
AGAIN = "run `testbed up` again, or with another --port"
UNPACK = (
    "import os,shutil,sys,tarfile,tempfile;folder=sys.argv[1];above=os.path.dirname(folder);"
    "os.makedirs(above,mode=0o700,exist_ok=True);new=tempfile.mkdtemp(dir=above);"
    "tarfile.open(fileobj=sys.stdin.buffer,mode='r|gz').extractall(new,filter='data');"
    "shutil.rmtree(new) if os.path.isdir(folder) else os.rename(new,folder)"
)


class Ssh:
    """See `Provider`."""

    def check(self, topology: Topology, choice: AnyChoice) -> None:
        """Every node is on one machine, and all machines answer and have what is needed."""
        asked = own_choice(choice, SshChoice)
        _check_places(topology, asked)
        if asked.head_host not in own_addresses():
            raise InputError(
                f"provider ssh: head_host {asked.head_host} is no address of this machine; the "
                f"others reach it at one of {', '.join(sorted(own_addresses()))}"
            )
        _look_at_all(topology, asked)

    def up(self, asked: Bringing) -> ClusterState:
        """The files, then the head here, then a Ray node on each machine."""
        choice = own_choice(asked.choice, SshChoice)
        looks = _look_at_all(asked.topology, choice)
        code = pack_code()
        mark = secrets.token_hex(8)
        port = asked.port if asked.port is not None else free_port(choice.head_host)
        record = SshRecord(
            head_host=choice.head_host,
            ssh_config=choice.ssh_config,
            folder=f"/tmp/testbed-ssh-{mark[:8]}",
            machines={
                name: SshMachine(
                    machine=machine, python=looks[name].python, code=code.folder(looks[name].home)
                )
                for name, machine in choice.machines.items()
            },
        )
        state = ClusterState(
            topology=asked.topology.model_copy(update={"provider": choice}),
            address=f"{choice.head_host}:{port}",
            temp_dir=folder_for(mark),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            link_token=secrets.token_hex(24),
            mark=mark,
            provider=record,
        )
        token = secrets.token_hex(24)
        state.record()
        make_folder(state, token)
        has = _for_all(lambda _, each: _has(record, each), record.machines)
        lacking = {name: each for name, each in record.machines.items() if not has[name]}
        if lacking:
            asked.say(f"sending the testbed's files to {', '.join(lacking)}")
            _for_all(partial(_ship, record, code.archive()), lacking)
        asked.say(f"starting Ray on {state.address}, and on {len(record.machines)} machines")
        head = RayNode(
            "head", choice.head_host, {}, len(os.sched_getaffinity(0)),
            claim_port(port, choice.head_host), environment=ray_private.SEVERAL_HOSTS,
        )  # fmt: skip
        process = start_ray(head, state)
        state = state.model_copy(update={"head_pid": process.pid})
        state.record()
        wait_until_ready([(head, process)], state, AGAIN)
        _for_all(partial(_start, state, token), record.machines)
        return state

    def down(self, state: ClusterState, say: Say) -> None:
        """On every machine that answers; those that do not are named."""
        record = record_of(state, SshRecord)
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            faults = list(pool.map(partial(_stop, state), record.machines.items()))
        for fault in filter(None, faults):
            say(fault)
        end_processes(state, say)
        remove_folder(state)

    def status(self, state: ClusterState) -> tuple[NodePlace, ...]:
        """By Ray's own list of its nodes."""
        record = record_of(state, SshRecord)
        ray_driver.prepare_ray(record.wiring.hosts)
        running = {each.host for each in see_nodes(state.address)} if state.alive else set()
        addresses = [(n.name, record.machine_of(n.name).address) for n in state.topology.nodes]
        return tuple(NodePlace(node, host, host in running) for node, host in addresses)

    def logs(self, state: ClusterState, node: str) -> tuple[Path, ...]:
        """They are on the node's machine."""
        record = record_of(state, SshRecord)
        there = _folder_there(record, record.machine_of(node))
        raise ClusterError(
            f"they are on {node}'s machine: `testbed exec {node} cat {there}/ray.log`"
        )

    def exec(self, state: ClusterState, node: str, command: Sequence[str]) -> int:
        """By ssh on the node's machine, with this process's terminal."""
        record = record_of(state, SshRecord)
        machine = record.machine_of(node).machine
        words = ssh_command(machine, record.ssh_config, terminal=sys.stdin.isatty())
        try:
            return subprocess.run([*words, shlex.join(command)], check=False).returncode
        except OSError as error:
            raise ClusterError(f"ssh: {error.strerror or error}") from None


def _check_places(topology: Topology, choice: SshChoice) -> None:
    """Raise `InputError` unless each node is on one machine."""
    placed = Counter(node for machine in choice.machines.values() for node in machine.nodes)
    for node in placed:
        topology.node(node)
    faults = [f"{node.name} is on {placed[node.name]}" for node in topology.nodes]
    wrong = [fault for fault in faults if not fault.endswith(" is on 1")]
    if wrong:
        raise InputError(
            f"provider ssh: each node is on one machine, but {', '.join(wrong)}; `nodes:` of the "
            "machines say where they are"
        )


def _for_all(call: Callable[[str, T], R], machines: Mapping[str, T]) -> dict[str, R]:
    """What it gives for each of them, all at once. Raises `ClusterError` with every fault."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        waiting = {name: pool.submit(call, name, each) for name, each in machines.items()}
    faults = [
        f"machine {name}: {error}"
        for name, future in waiting.items()
        if (error := future.exception()) is not None
    ]
    if faults:
        raise ClusterError("; ".join(faults))
    return {name: future.result() for name, future in waiting.items()}


def _look_at_all(topology: Topology, choice: SshChoice) -> dict[str, MachineLook]:
    """What every machine has. Raises `ClusterError` with all that cannot be used, and why."""
    own = own_software()

    def look(_: str, machine: SshHost) -> MachineLook:
        found = _look(machine, choice.ssh_config)
        gpu = any(topology.node(node).on_gpu for node in machine.nodes)
        fault = _fault(found, own, gpu)
        if fault is not None:
            raise ClusterError(fault)
        return found

    return _for_all(look, choice.machines)


def _look(machine: SshHost, config: Path | None) -> MachineLook:
    told = run_on(machine, config, f"{quoted_path(machine.python)} -", LOOK.encode(), LOOK_LIMIT_S)
    try:
        return MachineLook.model_validate_json(told.splitlines()[-1])
    except (ValueError, IndexError):
        shown = told.decode(errors="replace").strip()[-100:]
        raise ClusterError(f"{machine.python} there said {shown!r}, and not what it has") from None


def _fault(look: MachineLook, own: Software, gpu: bool) -> str | None:
    fault = versions_fault(look.version, look.versions, own)
    if fault is not None:
        return f"{fault}; `python:` names the interpreter of an environment like this one"
    if gpu and look.cuda is None:
        return "a node there is on a GPU, and torch there is built for the CPU alone"
    return None


def _has(record: SshRecord, each: SshMachine) -> bool:
    command = f"test -d {shlex.quote(each.code)} && echo there || echo missing"
    return run_on(each.machine, record.ssh_config, command, b"", LOOK_LIMIT_S) == b"there\n"


def _ship(record: SshRecord, archive: bytes, name: str, each: SshMachine) -> None:
    command = shlex.join([each.python, "-c", UNPACK, each.code])
    run_on(each.machine, record.ssh_config, command, archive, SHIP_LIMIT_S)


def _folder_there(record: SshRecord, each: SshMachine) -> str:
    """Of one machine: several may in truth be one, as in tests."""
    return f"{record.folder}/{list(record.machines.values()).index(each)}"


def _there(state: ClusterState, each: SshMachine, what: str, mark: str) -> str:
    settings = {"PYTHONPATH": each.code, **({MARK: mark} if mark else {})}
    words = [f"{name}={value}" for name, value in settings.items()]
    return shlex.join(["env", *words, each.python, "-m", "cluster.providers.ssh_there", what])


def _state_there(state: ClusterState, each: SshMachine) -> ClusterState:
    there = _folder_there(record_of(state, SshRecord), each)
    return state.model_copy(update={"temp_dir": there, "head_pid": None})


def _start(state: ClusterState, token: str, name: str, each: SshMachine) -> None:
    record = record_of(state, SshRecord)
    asked = JoinRequest(
        state=_state_there(state, each),
        folder=record.folder,
        host=each.address,
        cpus=each.machine.cpus,
        nodes=tuple(state.topology.node(node) for node in each.machine.nodes),
        token=token,
    )
    given = asked.model_dump_json().encode()
    # A starter that lives on when its connection is lost has the mark, and is ended by `stop`.
    command = _there(state, each, "start", state.mark)
    run_on(each.machine, record.ssh_config, command, given, START_LIMIT_S)


def _stop(state: ClusterState, named: tuple[str, SshMachine]) -> str | None:
    """Why it could not be done; None if it was."""
    name, each = named
    record = record_of(state, SshRecord)
    asked = LeaveRequest(state=_state_there(state, each), folder=record.folder)
    given = asked.model_dump_json().encode()
    command = _there(state, each, "stop", "")
    # Where the files never arrived nothing was started.
    command = f"if test -d {shlex.quote(each.code)}; then {command}; fi"
    try:
        run_on(each.machine, record.ssh_config, command, given, START_LIMIT_S)
    except ClusterError as error:
        return (
            f"machine {name} still has what runs there: {error}; its processes have "
            f"{MARK}={state.mark} in their environment"
        )
    return None


PROVIDER = Ssh()
