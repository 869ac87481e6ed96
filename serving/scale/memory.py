"""What the processes of a cluster on this machine hold, as the kernel counts it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cluster.providers.ray_processes import processes_of
from cluster.providers.state import ClusterState
from serving.errors import ServingError
from serving.traffic.local_faults import find_process

__all__ = ["ClusterMemory", "ProcessMemory"]

PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessMemory:
    """Of one process, or of several together."""

    resident_bytes: int
    """every page that is in memory; one that several processes share counts in each"""
    proportional_bytes: int
    """the same with a shared page divided by the number of those that share it"""

    @classmethod
    def of(cls, pid: int, proc: Path = PROC) -> Self:
        """What process `pid` holds now. Raises `OSError` where it has ended, or is another's."""
        lines = (proc / str(pid) / "smaps_rollup").read_text().splitlines()
        words = (line.split() for line in lines)
        bytes_of = {each[0]: int(each[1]) * 1024 for each in words if len(each) == 3}
        return cls(bytes_of["Rss:"], bytes_of["Pss:"])

    @classmethod
    def of_all(cls, pids: Iterable[int]) -> Self:
        """What these hold together, as far as they have not ended."""
        found = []
        for pid in pids:
            with suppress(FileNotFoundError, ProcessLookupError):
                found.append(cls.of(pid))
        return cls(
            sum(each.resident_bytes for each in found),
            sum(each.proportional_bytes for each in found),
        )


@dataclass(frozen=True)
class ClusterMemory:
    """What a cluster's processes hold."""

    nodes: dict[str, ProcessMemory]
    """by node, its own process"""
    beside: ProcessMemory
    """Ray's own processes, all together"""

    @classmethod
    def look(cls, state: ClusterState) -> Self:
        """What they hold now. Raises `ClusterError` where a node has no process on this machine,
        and `ServingError` where the kernel does not say what it holds."""
        pids = {node.name: find_process(state, node.name) for node in state.topology.nodes}
        others = {process.pid for process in processes_of(state)} - set(pids.values())
        try:
            nodes = {name: ProcessMemory.of(pid) for name, pid in pids.items()}
            return cls(nodes, ProcessMemory.of_all(others))
        except OSError as error:
            raise ServingError(f"{error.filename}: {error.strerror or error}") from None

    @property
    def proportional_bytes(self) -> int:
        """What all of it takes of the machine."""
        own = sum(each.proportional_bytes for each in self.nodes.values())
        return own + self.beside.proportional_bytes
