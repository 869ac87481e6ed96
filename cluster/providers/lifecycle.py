"""A cluster comes up with the provider that was asked for and goes down with the one that its
record names: what `testbed up` and `testbed down` do, whatever the provider."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cluster.provider_choice import AnyChoice, choice_of
from cluster.providers.provider import Bringing, NodePlace, Say, provider_of
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
from cluster.topology import Topology

__all__ = ["check", "down", "nodes_of", "up"]


def _silent(_: str) -> None:
    pass


def check(topology: Topology, choice: AnyChoice | None = None) -> None:
    """Raise `InputError` or `ClusterError` unless `topology` could be brought up from here by
    `choice`, or else by what its own block names; touches nothing."""
    choice = choice or choice_of(topology.provider)
    provider_of(choice.kind).check(topology, choice)


def up(
    topology: Topology,
    *,
    choice: AnyChoice | None = None,
    port: int | None = None,
    say: Say = _silent,
) -> ClusterState:
    """Start Ray for `topology` and record it: by `choice`, or else by what its own block names.
    Nothing is touched when it is refused, and nothing is left when it fails or is interrupted.

    Raises `CapacityError` (the machine is too small) and `ClusterError` (already up, port busy,
    no state folder, Ray did not start).
    """
    choice = choice or choice_of(topology.provider)
    chosen = provider_of(choice.kind)
    chosen.check(topology, choice)
    prepare_state_folder()
    with _changing():
        _refuse_second(say)
        _warn_of_stale_addresses(say)
        _forget_logs(log_folder())
        shutil.rmtree(control_folder(), ignore_errors=True)
        try:
            return chosen.up(Bringing(topology, choice, port, say))
        except BaseException:
            _end(say)
            raise


def down(say: Say = _silent) -> bool:
    """End every process of the recorded cluster and remove its files; False if there was none."""
    if not state_path().exists():
        return False
    with _changing():
        return _end(say)


def nodes_of(state: ClusterState) -> tuple[NodePlace, ...]:
    """Where every node of the cluster is."""
    return provider_of(state.provider.kind).status(state)


def _end(say: Say) -> bool:
    state = find_cluster()
    if state is None:
        return False
    provider_of(state.provider.kind).down(state, say)
    forget_cluster()  # last: until then another `down` finds what is still there
    return True


@contextmanager
def _changing() -> Iterator[None]:
    """Be the only process that brings this user's cluster up or down. The lock is the kernel's, so
    one that was killed holds it no more. Raises `ClusterError`."""
    folder = os.open(state_path().parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(
                "another `testbed up` or `testbed down` of yours is under way; wait for its end, "
                "or stop it, and run this again"
            ) from None
        yield
    finally:
        os.close(folder)


def _refuse_second(say: Callable[[str], None]) -> None:
    state = find_cluster()
    if state is None:
        return
    if state.alive:
        raise ClusterError(
            f"cluster {state.topology.name!r} is already up at {state.address}; use it, or run "
            "`testbed down` first"
        )
    say(f"removing what a cluster that died ({state.fate}) left behind")
    _end(say)


def _forget_logs(folder: Path) -> None:
    """Remove the logs of the cluster before; tracebacks that people were told of stay."""
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not path.name.startswith("error-"):
            path.unlink(missing_ok=True)


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
