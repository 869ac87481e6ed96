"""Files elsewhere that a file of a run names, such as the traces of a demand: they are a part of
what it says, though no copy of them is in the run."""

from __future__ import annotations

from pathlib import Path

from cluster.arrivals import ReplayArrivals
from cluster.demand import Demand
from cluster.topology import Topology
from serving.runs.manifest import FileKind

__all__ = ["named_files"]

DEMANDS = frozenset(
    {FileKind.DEMAND, FileKind.TRAFFIC, FileKind.SIMULATED_DEMAND, FileKind.COMPARED_DEMAND}
)


def named_files(kind: FileKind, path: Path) -> tuple[str, ...]:
    """Absolute paths of the recorded traces that the file of that kind at `path` names. Raises
    `InputError` for a file or trace that is not what it should be."""
    if kind in DEMANDS:
        named = [
            arrivals.file
            for phase in Demand.load(path).phases
            for arrivals in phase.arrivals.values()
            if isinstance(arrivals, ReplayArrivals)
        ]
    elif kind is FileKind.TOPOLOGY:
        links = Topology.load(path).links
        named = [link.trace.file for link in links if link.trace is not None]
    else:
        return ()
    return tuple(dict.fromkeys(str(Path(file).absolute()) for file in named))
