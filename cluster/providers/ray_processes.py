"""Ray nodes as processes of this host: started, waited for, found again, and ended.

Every process of a cluster has the cluster's mark in its environment. So whatever was started is
found and ended, also where whoever started it was killed at once.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from cluster.document import write_atomically
from cluster.environment import MARK, has_mark, node_environment
from cluster.providers import ray_private
from cluster.providers.ray_driver import ray_settings
from cluster.providers.state import ClusterError, ClusterState, ray_token_path

__all__ = [
    "LOOPBACK", "RayNode", "claim_port", "end_processes", "environment_of", "folder_for",
    "free_port", "make_folder",
    "processes_of", "remove_folder", "start_ray", "wait_until_ready",
]  # fmt: skip

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 90.0
END_TIMEOUT_S = 15.0
OBJECT_STORE_BYTES = 128 * 2**20  # queries travel over the nodes' own links, not the store


@dataclass(frozen=True)
class RayNode:
    """A Ray node to be started: the head of a cluster, or one that joins it."""

    name: str
    """of its log in the cluster's folder"""
    host: str
    resources: Mapping[str, float]
    cpus: int
    port: int = 0
    """of the head; of one that joins, 0"""
    folder: str = "ray"
    """of its own in the cluster's: two that start at once in one take each other's sockets. A short
    name, since the path of a socket has at most 107 bytes"""
    joins: str = ""
    """HOST:PORT of the head"""
    within: tuple[str, ...] = ()
    """the command that runs it, if it is not to run in this process's own surroundings"""
    environment: Mapping[str, str] | None = None
    """on top of that of all clusters"""


def folder_for(mark: str) -> str:
    """Where the cluster of `mark` will have its files."""
    return f"/tmp/testbed-{os.getuid()}-{mark[:8]}"


def make_folder(state: ClusterState, token: str | None) -> None:
    """Make the folder of a cluster that has just been recorded, and the file with Ray's token, if
    its servers ask for one."""
    Path(state.temp_dir).mkdir(mode=0o700)
    if token is not None:
        write_atomically(ray_token_path(), token, mode=0o600)


def remove_folder(state: ClusterState) -> None:
    """The opposite; nothing happens where they are gone."""
    shutil.rmtree(state.temp_dir, ignore_errors=True)
    ray_token_path().unlink(missing_ok=True)


def start_ray(node: RayNode, state: ClusterState) -> subprocess.Popen[bytes]:
    """Start `node` in a session of its own. It is not ready before `wait_until_ready` says so."""
    role = [f"--address={node.joins}"] if node.joins else [
        "--head", f"--port={node.port}", "--include-dashboard=false",
        # Ray's fixed ports would clash with any other Ray on the machine.
        f"--ray-client-server-port={free_port(node.host)}",
    ]  # fmt: skip
    command = [
        *node.within, sys.executable, "-c", ray_private.START_COMMAND,
        "start", "--block", *role, f"--node-ip-address={node.host}",
        f"--num-cpus={node.cpus}", f"--resources={json.dumps(dict(node.resources))}",
        "--disable-usage-stats", "--include-log-monitor=false",
        # A folder within ours, because Ray opens its own to everybody.
        f"--temp-dir={state.temp_dir}/{node.folder}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--dashboard-agent-listen-port={free_port()}",
    ]  # fmt: skip
    with _log_of(node, state).open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            env=environment_of(state, node.environment or {}),
            start_new_session=True, cwd=state.temp_dir,
        )  # fmt: skip


def environment_of(state: ClusterState, more: Mapping[str, str]) -> dict[str, str]:
    """What every process of the cluster finds in its environment, and `more`."""
    root = str(Path(__file__).resolve().parents[2])
    settings = ray_settings(asks_token=state.asks_token)
    return node_environment(os.environ, {**settings, **more, MARK: state.mark}, root)


def wait_until_ready(
    started: Sequence[tuple[RayNode, subprocess.Popen[bytes]]], state: ClusterState, hint: str
) -> None:
    """Wait until all have said that they run. Raises `ClusterError` for one that ends or is late,
    with its last words and the `hint` what to do."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    for node, process in started:
        log = _log_of(node, state)
        while ray_private.STARTED not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline_s:
                last = " ".join(log.read_text(errors="replace").split()[-60:])
                where = f"on port {node.port}" if node.port else f"for {node.name}"
                raise ClusterError(f"Ray did not start {where}: {last}; {hint}")
            time.sleep(0.1)


def processes_of(state: ClusterState) -> list[psutil.Process]:
    """The head, whatever else has the cluster's mark in its environment, and all that these
    started."""
    found: dict[int, psutil.Process] = {}
    if state.alive and state.head_pid is not None:
        found[state.head_pid] = psutil.Process(state.head_pid)
    own = os.getuid()
    for process in psutil.process_iter(["uids"]):
        uids = process.info["uids"]  # of one that has just ended there are none
        if uids and uids.real == own and has_mark(process.pid, state.mark):
            found[process.pid] = process
    for process in list(found.values()):
        with suppress(psutil.NoSuchProcess):
            found.update({child.pid: child for child in process.children(recursive=True)})
    found.pop(os.getpid(), None)
    return list(found.values())


def end_processes(state: ClusterState, say: Callable[[str], None]) -> None:
    """End every process of the cluster, and those that they start meanwhile."""
    processes = processes_of(state)
    say(f"ending {len(processes)} processes")
    for process in processes:
        _quietly(process.terminate)
    _, stubborn = psutil.wait_procs(processes, timeout=2)
    deadline_s = time.monotonic() + END_TIMEOUT_S
    # Workers that were being started while the head went down are found by the next look.
    while (left := {*stubborn, *processes_of(state)}) and time.monotonic() < deadline_s:
        for process in left:
            _quietly(process.kill)
        _, stubborn = psutil.wait_procs(list(left), timeout=5)


def claim_port(port: int, host: str = LOOPBACK) -> int:
    """`port`, if a server can listen there now. Raises `ClusterError`."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ClusterError(
                f"port {port} cannot be used ({error.strerror}); choose another with --port, "
                "or leave --port out to take a free one"
            ) from None
    return port


def free_port(host: str = LOOPBACK) -> int:
    """A port at which nobody listens now."""
    with closing(socket.socket()) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _log_of(node: RayNode, state: ClusterState) -> Path:
    return Path(state.temp_dir) / f"{node.name}.log"


def _quietly(action: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):
        action()
