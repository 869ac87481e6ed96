"""What each part of this machine must be like. Pure: `serving.doctor.look` does the reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.extras import install_command
from cluster.machine import Machine
from serving.doctor.finding import Finding, Fitness

__all__ = [
    "check_cluster", "check_cores", "check_disk", "check_extras", "check_gpus", "check_gurobi",
    "check_loopback", "check_memory", "check_python", "check_shadows", "check_shared_memory",
    "check_torch",
]  # fmt: skip

PYTHON = ((3, 11), (3, 15))
"""the oldest that works, and the first that does not"""
LEAST_CORES = 2
LEAST_MEMORY_BYTES = 4 * 2**30
LEAST_SHARED_BYTES = 2**30
LEAST_DISK_BYTES = 2 * 2**30
EXTRAS = {
    "matplotlib": ("experiments", "`testbed experiment` draws no figures"),
    "statsmodels": ("forecast", "`live --forecast` is not there"),
    "gurobipy": ("gurobi", "integer programs go to HiGHS, which is slower"),
    "gymnasium": ("gym", "`testbed.make_environment` is not there"),
}
"""module -> the extra that installs it, and what is missing without it"""


def check_python(version: tuple[int, int]) -> Finding:
    """Whether this Python is one that the testbed is made for."""
    low, high = PYTHON
    words = f"Python {version[0]}.{version[1]}"
    if low <= version < high:
        return Finding(about="Python", health=Fitness.GOOD, words=words)
    mend = f"use Python {low[0]}.{low[1]} to {high[0]}.{high[1] - 1}"
    return Finding(about="Python", health=Fitness.BROKEN, words=words, mend=mend)


def check_torch(versions: Mapping[str, str], fault: str) -> Finding:
    """Whether torch and torchvision can be imported together; `fault` is what they said."""
    words = ", ".join(f"{name} {version}" for name, version in versions.items())
    if not fault:
        return Finding(about="torch", health=Fitness.GOOD, words=words)
    return Finding(
        about="torch", health=Fitness.BROKEN, words=f"{words or 'not installed'}: {fault}",
        mend="make the environment anew (`make clean setup`); torch and torchvision must belong "
        "together, as in constraints.txt",
    )  # fmt: skip


def check_cores(machine: Machine, seen: int) -> Finding:
    """Whether there are two cores; a container may have fewer than it sees."""
    words = f"{machine.cores:g} cores"
    if machine.cores < seen:
        words += f" (the container's limit; {seen} are seen)"
    if machine.cores >= LEAST_CORES:
        return Finding(about="cores", health=Fitness.GOOD, words=words)
    return Finding(
        about="cores", health=Fitness.POOR, words=words,
        mend=f"give it {LEAST_CORES}: nodes and load share them, and latencies are theirs",
    )  # fmt: skip


def check_memory(machine: Machine) -> Finding:
    """Whether five nodes with torch find room."""
    words = f"{machine.memory_bytes / 2**30:.1f} GiB free"
    if machine.memory_bytes >= LEAST_MEMORY_BYTES:
        return Finding(about="memory", health=Fitness.GOOD, words=words)
    return Finding(
        about="memory", health=Fitness.POOR, words=words,
        mend="free some: the demo's five nodes take 3 GiB beside the load generator",
    )  # fmt: skip


def check_shared_memory(free_bytes: int | None) -> Finding:
    """Whether Ray's store of objects finds room in `/dev/shm`."""
    if free_bytes is None:
        return Finding(about="shared memory", health=Fitness.GOOD, words="no /dev/shm; not needed")
    words = f"{free_bytes / 2**30:.1f} GiB free in /dev/shm"
    if free_bytes >= LEAST_SHARED_BYTES:
        return Finding(about="shared memory", health=Fitness.GOOD, words=words)
    return Finding(
        about="shared memory", health=Fitness.POOR, words=words,
        mend="start the container with --shm-size=2g, or Ray keeps its objects on the disk",
    )  # fmt: skip


def check_disk(about: str, folder: Path, free_bytes: int | None, fault: str) -> Finding:
    """Whether files can be written in `folder`; `fault` is what trying said."""
    if fault:
        return Finding(
            about=about, health=Fitness.BROKEN, words=f"{folder} cannot be written: {fault}",
            mend="let TESTBED_STATE_DIR name a folder that can, or TMPDIR for temporary files",
        )  # fmt: skip
    words = f"{(free_bytes or 0) / 2**30:.1f} GiB free in {folder}"
    if free_bytes is None or free_bytes >= LEAST_DISK_BYTES:
        return Finding(about=about, health=Fitness.GOOD, words=words)
    return Finding(about=about, health=Fitness.POOR, words=words, mend="make room")


def check_loopback(fault: str) -> Finding:
    """Whether servers can listen on 127.0.0.1; `fault` is what trying said."""
    if not fault:
        return Finding(about="ports", health=Fitness.GOOD, words="servers can listen on 127.0.0.1")
    return Finding(
        about="ports", health=Fitness.BROKEN, words=f"no server can listen on 127.0.0.1: {fault}",
        mend="allow it; nodes, doors and Ray speak over it",
    )  # fmt: skip


def check_gpus(machine: Machine) -> Finding:
    """Which CUDA devices there are, and whether each can be used."""
    if not machine.gpus:
        return Finding(about="GPUs", health=Fitness.GOOD, words="none; nodes compute on the CPU")
    broken = [f"board {k}: {gpu.fault}" for k, gpu in enumerate(machine.gpus) if gpu.fault]
    words = f"{len(machine.gpus)} CUDA device{'' if len(machine.gpus) == 1 else 's'}"
    if not broken:
        return Finding(about="GPUs", health=Fitness.GOOD, words=words)
    return Finding(
        about="GPUs", health=Fitness.POOR, words=f"{words}; {'; '.join(broken)}",
        mend="see nvidia-smi; topologies must not name these",
    )  # fmt: skip


def check_extras(installed: Mapping[str, bool]) -> tuple[Finding, ...]:
    """A finding for each package of an extra that is not installed, or one that all are."""
    missing = [module for module in EXTRAS if not installed.get(module)]
    if not missing:
        return (Finding(about="extras", health=Fitness.GOOD, words="all are installed"),)
    return tuple(
        Finding(
            about="extras",
            health=Fitness.POOR,
            words=f"no {module}: {EXTRAS[module][1]}",
            mend=install_command(EXTRAS[module][0]),
        )
        for module in missing
    )


def check_gurobi(largest: int | None, fault: str) -> Finding:
    """What Gurobi's licence covers: programs of `largest` rows or columns, None for all."""
    if fault:
        return Finding(
            about="Gurobi", health=Fitness.POOR, words=f"cannot be used: {fault}",
            mend="integer programs go to HiGHS; `grbgetkey` fetches a licence",
        )  # fmt: skip
    size = "programs of any size" if largest is None else f"programs up to {largest:,} rows"
    return Finding(about="Gurobi", health=Fitness.GOOD, words=f"its licence covers {size}")


def check_cluster(recorded: str, alive: bool, strays: Sequence[int]) -> Finding:
    """The cluster that is recorded (its topology, or nothing), and processes of ones that are not.

    `strays` are processes that a cluster of the testbed has left.
    """
    if recorded and alive:
        words, health, mend = f"{recorded!r} is up", Fitness.GOOD, ""
    elif recorded:
        words, health = f"{recorded!r} is recorded, and its head has ended", Fitness.BROKEN
        mend = "`testbed down` clears what it left"
    else:
        words, health, mend = "none is up", Fitness.GOOD, ""
    if strays:
        words += f"; {len(strays)} processes of another one run"
        health = Fitness.POOR if health is Fitness.GOOD else health
        mend = (
            mend
            or f"another TESTBED_STATE_DIR may know them; else `kill {' '.join(map(str, strays))}`"
        )
    return Finding(about="cluster", health=health, words=words, mend=mend)


def check_shadows(shadows: Sequence[Path]) -> Finding:
    """Files and folders that a script here would import instead of the testbed's packages."""
    if not shadows:
        return Finding(
            about="this folder", health=Fitness.GOOD, words="hides no package of the testbed"
        )
    names = ", ".join(str(path) for path in shadows)
    return Finding(
        about="this folder", health=Fitness.POOR, words=f"scripts here import {names} instead",
        mend="rename it, or run scripts in another folder",
    )  # fmt: skip
