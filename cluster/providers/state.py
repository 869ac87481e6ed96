"""The record of the cluster that is up on this machine: one file per user."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from cluster.addresses import answers_at
from cluster.document import Document, DocumentError
from cluster.environment import has_mark
from cluster.private_folder import make_private
from cluster.providers.records import AttachRecord, LocalRecord, ProviderRecord
from cluster.topology import Topology
from cluster.wiring import Wiring
from cluster.writable import try_writing

__all__ = [
    "ClusterError", "ClusterState", "control_folder", "find_cluster", "forget_cluster",
    "log_folder", "prepare_state_folder", "ray_token_path", "record_of", "state_path",
]  # fmt: skip


R = TypeVar("R")


class ClusterError(RuntimeError):
    """The cluster could not be brought up, found or taken down; the message says what to do."""


class ClusterState(Document):
    """`cluster.json`: how to reach the running cluster, and what it was asked to be."""

    topology: Topology
    address: str
    head_pid: int | None = None
    """None until Ray's head was started: what there is so far is still to be made, or was left"""
    temp_dir: str
    started_at: str
    link_token: str
    """what nodes show each other; Ray has a token of its own"""
    mark: str = Field(min_length=1)
    """in the environment of the cluster's processes, and of no others"""
    provider: ProviderRecord = LocalRecord()
    """what brought it up, and what only that one must know to take it down"""

    @property
    def wiring(self) -> Wiring:
        """How its nodes reach each other."""
        return self.provider.wiring

    @property
    def asks_token(self) -> bool:
        """Whether Ray's servers ask for the token in `ray_token_path`."""
        return not isinstance(self.provider, AttachRecord) or self.provider.asks_token

    @property
    def fate(self) -> str:
        """Why it is not alive, in words, if it is not."""
        if isinstance(self.provider, AttachRecord):
            return f"nothing answers at {self.address}"
        if self.head_pid is None:
            return "it did not come up to its end"
        return f"pid {self.head_pid} has ended"

    @property
    def driver_host(self) -> str:
        """The address at which a driver on this host is a part of the cluster."""
        if isinstance(self.provider, AttachRecord):
            return self.provider.driver_host
        return self.address.rpartition(":")[0]

    def record(self) -> None:
        """Write the file where `find_cluster` looks for it, for this user's eyes only."""
        self.save(prepare_state_folder() / state_path().name, mode=0o600)

    @property
    def alive(self) -> bool:
        """Whether the head process that was started is still the one with that pid; of a cluster of
        the user's, whether its head answers.

        It is known by its mark: when a process began is told by the wall clock, which may be set.
        """
        if isinstance(self.provider, AttachRecord):
            return answers_at(self.address)
        return self.head_pid is not None and has_mark(self.head_pid, self.mark)


def record_of(state: ClusterState, kind: type[R]) -> R:
    """What its provider wrote down of the cluster. Raises `ClusterError` if another one did."""
    if not isinstance(state.provider, kind):
        raise ClusterError(f"the cluster was brought up by provider {state.provider.kind}")
    return state.provider


def state_path() -> Path:
    """`$TESTBED_STATE_DIR/cluster.json`, by default under the user's state folder."""
    folder = os.environ.get("TESTBED_STATE_DIR")
    if folder is None:
        state = os.environ.get("XDG_STATE_HOME", str(Path.home() / ".local" / "state"))
        folder = str(Path(state) / "j3o-testbed")
    return Path(folder) / "cluster.json"


def prepare_state_folder() -> Path:
    """Make the folder of the record, for this user alone, and see that files can be written there.

    Raises `ClusterError` where they cannot. Called before anything private is written.
    """
    folder = state_path().parent
    try:
        make_private(folder)
        try_writing(folder)
    except OSError as error:
        raise ClusterError(
            f"the state folder {folder} cannot be written: {error.strerror or error}; let "
            f"TESTBED_STATE_DIR name one that can"
        ) from None
    return folder


def ray_token_path() -> Path:
    """The file with the token that Ray's servers of this cluster ask for."""
    return state_path().with_name("ray-token")


def log_folder() -> Path:
    """Where the nodes of the cluster, and the commands that change it, write their logs.

    They outlive `down`, since what broke is often asked after; the next `up` removes them.
    """
    return state_path().with_name("logs")


def control_folder() -> Path:
    """Where the cluster keeps what its nodes were told; it goes with the cluster."""
    return state_path().with_name("control")


def find_cluster() -> ClusterState | None:
    """The recorded cluster, alive or not; None where none is recorded."""
    path = state_path()
    if not path.exists():
        return None
    try:
        return ClusterState.load(path)
    except DocumentError as error:
        raise ClusterError(f"{error}; delete the file once no Ray of yours is running") from None


def forget_cluster() -> None:
    """Remove the record, and what the cluster's nodes were told."""
    state_path().unlink(missing_ok=True)
    shutil.rmtree(control_folder(), ignore_errors=True)
