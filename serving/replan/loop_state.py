"""What outlives the live loop: its state in a file, and the lock that lets only one run.

Both are in the folder of the cluster's record. The file is replaced as a whole, so a loop that is
killed at any moment leaves the state of its latest save, and the next one goes on from there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import Field

from cluster.document import Document, DocumentError
from cluster.providers.state import ClusterError
from planner.plan import Plan
from serving.replan.estimate.calibration import Calibration
from serving.replan.estimate.load_estimate import EstimatorState
from serving.replan.estimate.load_history import LoadHistory
from serving.replan.estimate.node_watch import NodeWatch
from serving.replan.need import Considered

__all__ = ["LoopState", "hold_loop_lock", "load_state", "loop_process", "state_file"]

LOCK = "live.lock"
"""held by the loop that runs; its process id stands in it"""


class LoopState(Document):
    """`live.json`: the plan in force as the loop knows it, and what it has seen."""

    plan: Plan = Field(description="with the version in force")
    decisions: int = Field(default=0, ge=0, description="made so far")
    estimator: EstimatorState = EstimatorState()
    calibration: Calibration = Calibration()
    history: LoadHistory = LoadHistory()
    nodes: NodeWatch = NodeWatch()
    considered: Considered | None = None


def state_file(folder: Path) -> Path:
    """Where the loop of the cluster that is recorded in `folder` keeps its state."""
    return folder / "live.json"


def load_state(path: Path, version: int) -> LoopState | None:
    """The state of a loop that ran before, if `version` is still the plan in force.

    A file that cannot be read counts for none: all in it can be found out anew.
    """
    try:
        state = LoopState.load(path)
    except DocumentError:
        return None
    return state if state.plan.version == version else None


def loop_process(folder: Path) -> int | None:
    """The process id of the live loop that runs on the cluster recorded in `folder`, if one does.

    The lock is not tried: a loop that begins at that moment would be refused.
    """
    path = folder / LOCK
    try:
        pid = int(path.read_text())
        held = {file.path for file in psutil.Process(pid).open_files()}
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if str(path.resolve()) in held else None


@contextmanager
def hold_loop_lock(folder: Path) -> Iterator[None]:
    """Hold the right to run the live loop of the cluster that is recorded in `folder`.

    The lock is the kernel's and ends with the process that holds it, however that ends. Raises
    `ClusterError` if another loop runs.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 64, 0).decode(errors="replace").strip() or "unknown"
            raise ClusterError(
                f"a live loop runs on this cluster already (process {owner}); end it first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
