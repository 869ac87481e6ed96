"""Reading what the checks judge: the machine, the environment, and what earlier runs left."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import psutil

from cluster.environment import MARK
from cluster.machine import read_machine
from cluster.providers.state import find_cluster, state_path
from cluster.writable import nearest_there, try_writing_below
from planner.solvers.gurobi import gurobi_licence
from serving.doctor import checks
from serving.doctor.finding import Finding

__all__ = ["look"]

SHARED_MEMORY = Path("/dev/shm")
PACKAGES = ("cluster", "models", "planner", "profiling", "serving", "testbed")


def look() -> Iterator[Finding]:
    """Every finding, in the order in which they matter; quick ones first."""
    machine = read_machine()
    yield checks.check_python(sys.version_info[:2])
    yield checks.check_cores(machine, os.cpu_count() or 1)
    yield checks.check_memory(machine)
    yield checks.check_shared_memory(_free_bytes(SHARED_MEMORY))
    for about, folder in (("state folder", state_path().parent), ("temporary files", _temporary())):
        yield checks.check_disk(
            about, folder, _free_bytes(nearest_there(folder)), _write_fault(folder)
        )
    yield checks.check_loopback(_listen_fault())
    yield checks.check_gpus(machine)
    yield checks.check_torch(*_torch())
    installed = {module: find_spec(module) is not None for module in checks.EXTRAS}
    yield from checks.check_extras(installed)
    if installed["gurobipy"]:
        yield checks.check_gurobi(*gurobi_licence())
    state = find_cluster()
    recorded = "" if state is None else state.topology.name
    own = "" if state is None else state.mark
    yield checks.check_cluster(recorded, state is not None and state.alive, _strays(own))
    yield checks.check_shadows(_shadows(Path.cwd()))


def _temporary() -> Path:
    return Path(tempfile.gettempdir())


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _write_fault(folder: Path) -> str:
    try:
        try_writing_below(folder)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _listen_fault() -> str:
    try:
        with socket.socket() as tried:
            tried.bind(("127.0.0.1", 0))
            tried.listen()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _torch() -> tuple[dict[str, str], str]:
    """Versions of torch and torchvision, and what is wrong when both are imported."""
    versions = {}
    for name in ("torch", "torchvision"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            return versions, f"no {name} is installed"
    try:
        import torch
        import torchvision

        del torch, torchvision
    except (ImportError, RuntimeError, OSError) as error:
        return versions, " ".join(str(error).split())[:200]
    return versions, ""


def _strays(own_mark: str) -> list[int]:
    """This user's processes that carry the mark of another cluster than `own_mark`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.uids().real != os.getuid():
                continue
            mark = process.environ().get(MARK)
        except psutil.Error:
            continue
        if mark and mark != own_mark and process.pid != os.getpid():
            found.append(process.pid)
    return found


def _shadows(folder: Path) -> list[Path]:
    """What in `folder` has the name of one of the testbed's packages and is not it."""
    installed = Path(__file__).resolve().parents[2]
    there = [place for name in PACKAGES for place in (folder / name, folder / f"{name}.py")]
    return [p for p in there if p.exists() and p.resolve().parent != installed]
