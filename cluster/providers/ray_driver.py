"""What is the same for every provider: a process becomes a driver of the recorded cluster.

A cluster is always reached by the address in its record, so neither another cluster on the machine
nor an address file left by a dead one is ever picked up. Its servers ask for a token that only this
user can read.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cluster.environment import driver_environment
from cluster.providers import ray_private
from cluster.providers.ray_names import NAMESPACE
from cluster.providers.state import (
    ClusterError,
    ClusterState,
    find_cluster,
    ray_token_path,
    state_path,
)
from cluster.providers.time_limit import within

__all__ = ["TOKEN_PATH", "connect", "disconnect", "join", "prepare_ray", "ray_settings"]

TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"
CONNECT_LIMIT_S = 30.0


def prepare_ray(hosts: Sequence[str] = (), *, asks_token: bool = True) -> None:
    """Set the environment that Ray reads when it is imported, and let no proxy stand between this
    process and `hosts`. Raises `ClusterError` if too late."""
    settings = ray_settings(asks_token=asks_token)
    wanted = driver_environment(os.environ, settings, hosts)
    # Ray sets some of its own variables when it is imported; those are no shell's.
    own = ray_private.SET_BY_IMPORT if "ray" in sys.modules else frozenset[str]()
    stray = {
        name
        for name in os.environ
        if name.startswith("RAY_") and name not in wanted and name not in own
    }
    missing = {
        name
        for name in settings
        # The token is read anew for each cluster that the process joins.
        if os.environ.get(name) != wanted[name] and name != TOKEN_PATH
    }
    if (missing or stray) and "ray" in sys.modules:
        mends = [f"{name}={wanted[name]}" for name in sorted(missing)]
        mends += [f"no {name}" for name in sorted(stray)]
        raise ClusterError(
            "ray was imported before `cluster.providers.ray_driver.prepare_ray()` was called; call "
            f"it first, or set {', '.join(mends)}"
        )
    for name in stray:
        del os.environ[name]
    os.environ.update(wanted)


def ray_settings(*, asks_token: bool = True) -> dict[str, str]:
    """What drivers and the cluster's processes share. `asks_token`: the cluster's servers ask for
    the token of `ray_token_path`."""
    access = {"RAY_AUTH_MODE": "token", TOKEN_PATH: str(ray_token_path())}
    return {
        "OMP_NUM_THREADS": "1",
        "KINETO_LOG_LEVEL": "5",  # torch's profiler, used to measure memory, narrates otherwise
        "RAY_USAGE_STATS_ENABLED": "0",
        **(access if asks_token else {"RAY_AUTH_MODE": "disabled"}),
        # Ray would take `uv run` for a wish to ship the folder that it was called in.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        **ray_private.ENVIRONMENT,
    }


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


def connect() -> ClusterState:
    """Make this process a driver of the running cluster. Raises `ClusterError` if there is none."""
    state = find_cluster()
    if state is None:
        raise ClusterError("no cluster is up; start one with `testbed up TOPOLOGY`")
    if not state.alive:
        raise ClusterError(
            f"the cluster recorded in {state_path()} is gone ({state.fate}); "
            "run `testbed down`, then `testbed up`"
        )
    join(state)
    return state


def join(state: ClusterState) -> None:
    """Make this process a driver of that cluster, unless it is one already. Raises
    `ClusterError`."""
    prepare_ray(state.wiring.hosts, asks_token=state.asks_token)
    import ray

    if ray.is_initialized():
        return
    ray_private.forget_token()
    # Its warnings are none for people: this thread, for one, is not the one of signals.
    logging.getLogger("ray").setLevel(logging.ERROR)
    whose = f" (pid {state.head_pid})" if state.head_pid else ""
    try:
        with _from_nowhere(state.temp_dir), _own_signals():
            within(
                CONNECT_LIMIT_S,
                partial(
                    ray.init,
                    address=state.address,
                    namespace=NAMESPACE,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=False,
                    _node_ip_address=state.driver_host,
                ),
                f"the head of the cluster at {state.address}{whose} gave no answer in "
                f"{CONNECT_LIMIT_S:.0f} s; `testbed down`, then `testbed up`, starts a fresh one",
            )
    except ClusterError:
        raise
    except (ConnectionError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ClusterError(
            f"the cluster at {state.address} refused: {reason}; `testbed down`, then "
            "`testbed up`, starts a fresh one"
        ) from None


def disconnect() -> None:
    """Leave the cluster; it stays up."""
    import ray

    ray.shutdown()
