"""The page of a running system: beside the live loop, or attached to a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster.providers.state import ClusterState
from serving.cli.console import VerbOutput
from serving.traffic.load_switch import LoadSwitch
from serving.traffic.local_faults import LocalFaults, find_process
from serving.watch.acts import READ_ONLY, NoActs, WatchActs
from serving.watch.history import WatchHistory
from serving.watch.live_acts import LiveActs, SteeredLoop
from serving.watch.server import WatchServer
from serving.watch.serving_thread import sample_while_open, serve_beside
from serving.watch.source import LiveSource, LoopState

if TYPE_CHECKING:
    from serving.deploy.fleet import Fleet

__all__ = ["faults_of", "live_page", "say_address"]


def say_address(out: VerbOutput, server: WatchServer, then: str = "") -> None:
    """Say where the page is."""
    out.say(f"the page is open at {server.address}{then}")


def faults_of(fleet: Fleet, state: ClusterState) -> LocalFaults:
    """What breaks and mends the nodes and links of the cluster on this machine."""
    return LocalFaults(lambda node: find_process(state, node), fleet)


@contextmanager
def live_page(
    out: VerbOutput,
    history: WatchHistory,
    fleet: Fleet,
    state: ClusterState,
    loop: SteeredLoop,
    load: LoadSwitch | None,
    *,
    port: int | None,
    read_only: bool,
) -> Iterator[None]:
    """Serve the page in this process, where the loop is, for as long as the block runs.

    Raises `InputError` where the port is taken.
    """

    def loop_state() -> LoopState:
        return "paused" if loop.paused else "running"

    source = LiveSource(history, loop_state)
    faults = None if read_only else faults_of(fleet, state)
    acts: WatchActs = NoActs(READ_ONLY)
    if faults is not None:
        acts = LiveActs(history, faults, loop, load)
    server = WatchServer(source, acts, f"{state.topology.name}, live", port or 0)
    say_address(out, server)
    with serve_beside(server, [lambda: sample_while_open(fleet, source)], faults):
        yield
