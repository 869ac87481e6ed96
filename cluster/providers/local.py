"""One Ray cluster on this host: a single Ray node with one custom resource per testbed node.

Ray runs in a folder and on a port of its own, and is always reached by that address, so neither
another cluster on the machine nor an address file left by a dead one is ever picked up. All of its
servers listen on loopback and ask for a token that only this user can read.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil

from cluster.document import write_atomically
from cluster.environment import MARK, driver_environment, node_environment
from cluster.machine import check_capacity, read_machine
from cluster.providers import ray_private
from cluster.providers.state import (
    ClusterError,
    ClusterState,
    control_folder,
    find_cluster,
    forget_cluster,
    log_folder,
    prepare_state_folder,
    state_path,
)
from cluster.providers.time_limit import within
from cluster.topology import Topology

__all__ = ["connect", "disconnect", "down", "prepare_ray", "resource_of", "up"]

LOOPBACK = "127.0.0.1"
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"
START_TIMEOUT_S = 90.0
CONNECT_LIMIT_S = 30.0
OBJECT_STORE_BYTES = 128 * 2**20  # queries travel over the nodes' own links, not the store


def resource_of(node: str) -> str:
    """The custom Ray resource that stands for a node; a cluster offers one unit of each."""
    return f"testbed-{node}"


def prepare_ray() -> None:
    """Set the environment that Ray reads when it is imported. Raises `ClusterError` if too late."""
    wanted = driver_environment(os.environ, _settings())
    # Ray sets some of its own variables when it is imported; those are no shell's.
    own = ray_private.SET_BY_IMPORT if "ray" in sys.modules else frozenset[str]()
    stray = {
        name
        for name in os.environ
        if name.startswith("RAY_") and name not in wanted and name not in own
    }
    missing = {
        name
        for name in _settings()
        # The token is read anew for each cluster that the process joins.
        if os.environ.get(name) != wanted[name] and name != TOKEN_PATH
    }
    if (missing or stray) and "ray" in sys.modules:
        mends = [f"{name}={wanted[name]}" for name in sorted(missing)]
        mends += [f"no {name}" for name in sorted(stray)]
        raise ClusterError(
            "ray was imported before `cluster.providers.local.prepare_ray()` was called; call it "
            f"first, or set {', '.join(mends)}"
        )
    for name in stray:
        del os.environ[name]
    os.environ.update(wanted)


def _settings() -> dict[str, str]:
    """What drivers and the cluster's processes share."""
    return {
        "OMP_NUM_THREADS": "1",
        "KINETO_LOG_LEVEL": "5",  # torch's profiler, used to measure memory, narrates otherwise
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        TOKEN_PATH: str(_token_path()),
        # Ray would take `uv run` for a wish to ship the folder that it was called in.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        **ray_private.ENVIRONMENT,
    }


def _token_path() -> Path:
    return state_path().with_name("ray-token")


@contextmanager
def _from_nowhere(folder: str) -> Iterator[None]:
    """Be a driver without a script and a folder of its own.

    Ray puts the folder that a driver runs in, and that of its script, first on the path of its
    workers, where a `models.py` of the user's would be taken for the testbed's `models`.
    """
    here, script = Path.cwd(), sys.argv[:1]
    os.chdir(folder)
    sys.argv[:1] = [""]
    try:
        yield
    finally:
        sys.argv[:1] = script
        os.chdir(here)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Leave SIGTERM to whoever handled it before: Ray's own handler ends the process at once, also
    in the middle of a change of plan."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)


def up(
    topology: Topology, *, port: int | None = None, say: Callable[[str], None] = lambda _: None
) -> ClusterState:
    """Start Ray for `topology` and record it. Nothing is touched when it is refused.

    Raises `CapacityError` (the machine is too small) and `ClusterError` (already up, port busy,
    no state folder, Ray did not start).
    """
    check_capacity(topology, read_machine())
    _refuse_second(say)
    chosen = _free_port() if port is None else _claim_port(port)
    prepare_state_folder()
    _warn_of_stale_addresses(say)
    _forget_logs(log_folder())
    shutil.rmtree(control_folder(), ignore_errors=True)
    temp_dir = tempfile.mkdtemp(prefix=f"testbed-{os.getuid()}-", dir="/tmp")
    mark = secrets.token_hex(8)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, temp_dir, ignore_errors=True)
        undo.callback(_token_path().unlink, missing_ok=True)
        write_atomically(_token_path(), secrets.token_hex(24), mode=0o600)
        say(f"starting Ray on {LOOPBACK}:{chosen}")
        head = _start_head(topology, chosen, temp_dir, mark)
        undo.callback(_kill_all, psutil.Process(head.pid))
        state = ClusterState(
            topology=topology,
            address=f"{LOOPBACK}:{chosen}",
            head_pid=head.pid,
            temp_dir=temp_dir,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            link_token=secrets.token_hex(24),
            mark=mark,
        )
        # Recorded before it is known to work: a crash from here on leaves something `down` can end.
        state.record()
        undo.pop_all()
    try:
        _wait_until_ready(head, chosen, Path(temp_dir))
    except BaseException:
        down()
        raise
    return state


def down(say: Callable[[str], None] = lambda _: None) -> bool:
    """End every process of the recorded cluster and remove its files; False if there was none."""
    state = find_cluster()
    if state is None:
        return False
    processes = _processes_of(state)
    say(f"ending {len(processes)} processes")
    for process in processes:
        _quietly(process.terminate)
    _, stubborn = psutil.wait_procs(processes, timeout=2)
    # Workers that were being started while the head went down are found by the second look.
    for process in {*stubborn, *_processes_of(state)}:
        _quietly(process.kill)
    psutil.wait_procs(list(stubborn), timeout=5)
    shutil.rmtree(state.temp_dir, ignore_errors=True)
    _token_path().unlink(missing_ok=True)
    forget_cluster()
    return True


def connect() -> ClusterState:
    """Make this process a driver of the running cluster. Raises `ClusterError` if there is none."""
    state = find_cluster()
    if state is None:
        raise ClusterError("no cluster is up; start one with `testbed up TOPOLOGY`")
    if not state.alive:
        raise ClusterError(
            f"the cluster recorded in {state_path()} is gone (pid {state.head_pid} has ended); "
            "run `testbed down`, then `testbed up`"
        )
    prepare_ray()
    import ray

    if not ray.is_initialized():
        ray_private.forget_token()
        # Its warnings are none for people: this thread, for one, is not the one of signals.
        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            with _from_nowhere(state.temp_dir), _own_signals():
                within(
                    CONNECT_LIMIT_S,
                    partial(
                        ray.init,
                        address=state.address,
                        namespace="testbed",
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        configure_logging=False,
                    ),
                    f"the head of the cluster at {state.address} (pid {state.head_pid}) gave no "
                    f"answer in {CONNECT_LIMIT_S:.0f} s; `testbed down`, then `testbed up`, "
                    "starts a fresh one",
                )
        except ClusterError:
            raise
        except (ConnectionError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ClusterError(
                f"the cluster at {state.address} refused: {reason}; `testbed down`, then "
                "`testbed up`, starts a fresh one"
            ) from None
    return state


def disconnect() -> None:
    """Leave the cluster; it stays up."""
    import ray

    ray.shutdown()


def _refuse_second(say: Callable[[str], None]) -> None:
    state = find_cluster()
    if state is None:
        return
    if state.alive:
        raise ClusterError(
            f"cluster {state.topology.name!r} is already up at {state.address} "
            f"(pid {state.head_pid}); use it, or run `testbed down` first"
        )
    say(f"removing what a cluster that died (pid {state.head_pid}) left behind")
    down()


def _forget_logs(folder: Path) -> None:
    """Remove the logs of the cluster before; tracebacks that people were told of stay."""
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not path.name.startswith("error-"):
            path.unlink(missing_ok=True)


def _claim_port(port: int) -> int:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise ClusterError(
                f"port {port} cannot be used ({error.strerror}); choose another with --port, "
                "or leave --port out to take a free one"
            ) from None
    return port


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _warn_of_stale_addresses(say: Callable[[str], None]) -> None:
    """Name an address another Ray left behind; it is never used here, but it misleads `ray`."""
    found = {"RAY_ADDRESS": os.environ.get("RAY_ADDRESS", "")}
    file = Path("/tmp/ray/ray_current_cluster")
    if file.exists():
        found[str(file)] = file.read_text().strip()
    for origin, address in found.items():
        host, _, port = address.rpartition(":")
        if not port.isdigit():
            continue
        with closing(socket.socket()) as probe:
            probe.settimeout(0.5)
            if probe.connect_ex((host, int(port))) != 0:
                say(f"note: {origin} names a Ray at {address} that does not answer; ignored")


def _start_head(topology: Topology, port: int, temp_dir: str, mark: str) -> subprocess.Popen[bytes]:
    resources = {resource_of(node.name): 1 for node in topology.nodes}
    command = [
        sys.executable, "-c", ray_private.START_COMMAND,
        "start", "--head", "--block", f"--node-ip-address={LOOPBACK}", f"--port={port}",
        f"--num-cpus={len(os.sched_getaffinity(0))}", f"--resources={json.dumps(resources)}",
        "--include-dashboard=false", "--disable-usage-stats",
        # A folder within ours, because Ray opens its own to everybody.
        f"--temp-dir={temp_dir}/ray",
        f"--object-store-memory={OBJECT_STORE_BYTES}", "--include-log-monitor=false",
        # Ray's fixed ports would clash with any other Ray on the machine.
        f"--ray-client-server-port={_free_port()}",
        f"--dashboard-agent-listen-port={_free_port()}",
    ]  # fmt: skip
    root = str(Path(__file__).resolve().parents[2])
    environment = node_environment(os.environ, {**_settings(), MARK: mark}, root)
    with (Path(temp_dir) / "head.log").open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment,
            start_new_session=True, cwd=temp_dir,
        )  # fmt: skip


def _wait_until_ready(head: subprocess.Popen[bytes], port: int, temp_dir: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    log = temp_dir / "head.log"
    while time.monotonic() < deadline:
        if head.poll() is not None:
            break
        if ray_private.STARTED in log.read_bytes():
            return
        time.sleep(0.1)
    last = " ".join(log.read_text(errors="replace").split()[-60:])
    raise ClusterError(
        f"Ray did not start on port {port}: {last}; run `testbed up` again, or with another --port"
    )


def _processes_of(state: ClusterState) -> list[psutil.Process]:
    """The head, its descendants, and whatever else has the cluster's mark in its environment."""
    found: dict[int, psutil.Process] = {}
    if state.alive:
        head = psutil.Process(state.head_pid)
        found = {process.pid: process for process in [head, *head.children(recursive=True)]}
    for process in psutil.process_iter(["uids", "environ"]):
        # Of another user's processes, and of one that has just ended, there is no environment.
        uids, environment = process.info["uids"], process.info["environ"] or {}
        if uids and uids.real == os.getuid() and environment.get(MARK) == state.mark:
            found[process.pid] = process
    found.pop(os.getpid(), None)
    return list(found.values())


def _kill_all(process: psutil.Process) -> None:
    """End a process that no record names yet, and what it has started."""
    with suppress(psutil.NoSuchProcess):
        for each in [*process.children(recursive=True), process]:
            _quietly(each.kill)


def _quietly(action: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):
        action()
