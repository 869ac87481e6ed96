"""A file from outside of a run, which the run gets a copy of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cluster.demand import Demand
from serving.runs.manifest import FILE_NAMES, FileKind

__all__ = ["NamedCopy", "copy_of_demand"]


@dataclass(frozen=True)
class NamedCopy:
    """What the copy would hold."""

    file: str
    digest: str
    content: bytes | Path

    @classmethod
    def of(cls, file: str, content: bytes) -> Self:
        """A copy that holds `content`."""
        return cls(file, hashlib.sha256(content).hexdigest(), content)


def copy_of_demand(kind: FileKind, path: Path) -> NamedCopy:
    """What the copy of a demand file holds: the file, or where it names traces, the same with their
    absolute paths. Raises `DocumentError` for a file that cannot be read."""
    demand = Demand.load(path)
    processes = (process for phase in demand.phases for process in phase.arrivals.values())
    file = Path(FILE_NAMES[kind]).with_suffix(".json" if path.suffix == ".json" else ".yaml")
    if any(process.kind == "replay" for process in processes):
        found = Demand.load(path.absolute())
        return NamedCopy.of(str(file), found.as_text(file.suffix).encode())
    return NamedCopy.of(str(file), path.read_bytes())
