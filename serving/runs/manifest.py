"""`manifest.json`: the files of one run, each with its digest and what it was made from.

A run holds at most one file of each kind. Which kinds stand before which is in `BEFORE`; what a
file was really made from is in the manifest, by digest.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from cluster.document import Document, FrozenModel

__all__ = [
    "FILE_NAMES", "FileKind", "Manifest", "RunFile", "after", "before", "find_conflict",
    "is_run_name",
]  # fmt: skip

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class FileKind(StrEnum):
    """What a file of a run is."""

    TOPOLOGY = "topology"
    LINKS = "links"
    """what was measured of the cluster's links"""
    PROFILES = "profiles"
    DEMAND = "demand"
    """that the problem is of"""
    PROBLEM = "problem"
    PLAN = "plan"
    TRAFFIC = "traffic"
    """the demand that was driven, where it is another than the plan was made for"""
    SIMULATED_DEMAND = "simulated_demand"
    COMPARED_DEMAND = "compared_demand"
    """those that were simulated, and that policies were compared under, where they are others"""
    DRIVEN_PLAN = "driven_plan"
    """the plan of the live loop that traffic was driven under"""
    MEASUREMENTS = "measurements"
    GALLERY = "gallery"
    RECORDING = "recording"
    """what nodes and links showed while traffic was driven"""
    LIVE_PLAN = "live_plan"
    DECISIONS = "decisions"
    LIVE_RECORDING = "live_recording"
    """what they showed beside a live loop that brought no traffic"""
    SIMULATED = "simulated"
    COMPARISON = "comparison"
    REPORT = "report"

    @property
    def words(self) -> str:
        """As people say it: `driven plan`."""
        return self.value.replace("_", " ")


FILE_NAMES: Mapping[FileKind, str] = {
    FileKind.TOPOLOGY: "topology.yaml",
    FileKind.LINKS: "links.json",
    FileKind.PROFILES: "profiles.json",
    FileKind.DEMAND: "demand.yaml",
    FileKind.PROBLEM: "problem.json",
    FileKind.PLAN: "plan.json",
    FileKind.TRAFFIC: "traffic.yaml",
    FileKind.SIMULATED_DEMAND: "simulated-demand.yaml",
    FileKind.COMPARED_DEMAND: "compare/demand.yaml",
    FileKind.DRIVEN_PLAN: "driven-plan.json",
    FileKind.MEASUREMENTS: "measurements.parquet",
    FileKind.GALLERY: "gallery.json",
    FileKind.RECORDING: "watch.jsonl.gz",
    FileKind.LIVE_PLAN: "live-plan.json",
    FileKind.DECISIONS: "decisions.jsonl",
    FileKind.LIVE_RECORDING: "live-watch.jsonl.gz",
    FileKind.SIMULATED: "simulated.parquet",
    FileKind.COMPARISON: "comparison.json",
    FileKind.REPORT: "report/report.json",
}
"""in the folder of a run"""

BEFORE: Mapping[FileKind, tuple[FileKind, ...]] = {
    FileKind.PROBLEM: (FileKind.TOPOLOGY, FileKind.PROFILES, FileKind.DEMAND),
    FileKind.PLAN: (FileKind.PROBLEM,),
    FileKind.MEASUREMENTS: (FileKind.PLAN,),
    FileKind.GALLERY: (FileKind.MEASUREMENTS,),
    FileKind.RECORDING: (FileKind.PLAN,),
    FileKind.LIVE_PLAN: (FileKind.PLAN,),
    FileKind.DECISIONS: (FileKind.PLAN,),
    FileKind.LIVE_RECORDING: (FileKind.PLAN,),
    FileKind.SIMULATED: (FileKind.PLAN,),
    FileKind.COMPARISON: (FileKind.PROFILES, FileKind.TOPOLOGY),
    FileKind.REPORT: (FileKind.MEASUREMENTS,),
}
"""kind -> the kinds that stand right before it, in every run"""


class RunFile(FrozenModel):
    """One file of a run."""

    file: str = Field(description="path in the folder of the run")
    sha256: Digest
    bytes: int = Field(ge=0)
    written_at: str
    command: str = Field(description="command line that wrote it, or had it copied into the run")
    made_from: dict[FileKind, Digest] = Field(
        default_factory=dict, description="kind -> digest of the file that this one was made from"
    )
    parts: dict[str, Digest] = Field(
        default_factory=dict, description="path -> digest of files that belong to it"
    )
    names: dict[str, Digest] = Field(
        default_factory=dict,
        description="absolute path -> digest of recorded traces elsewhere that it names",
    )

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        return _inside_the_run(file)

    @field_validator("parts")
    @classmethod
    def _parts_inside(cls, parts: dict[str, Digest]) -> dict[str, Digest]:
        for file in parts:
            _inside_the_run(file)
        return parts


class Manifest(Document):
    """What a run consists of."""

    made_by: ClassVar[str] = "`testbed runs` lists the runs that there are"

    name: str
    created_at: str = Field(description="UTC, to the microsecond: the newest run is the default")
    from_run: str | None = Field(
        default=None, description="run that files were taken along from, or read in"
    )
    files: dict[FileKind, RunFile] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not is_run_name(name):
            raise ValueError("expected letters, digits, dashes, dots and underscores")
        return name

    def made_from(self, kind: FileKind) -> frozenset[FileKind]:
        """The kinds that are in this run as `kind` was made from them, directly or through others;
        nothing where the run has no `kind`."""
        found: set[FileKind] = set()
        waiting = [kind]
        while waiting:
            entry = self.files.get(waiting.pop())
            for other, digest in entry.made_from.items() if entry else ():
                if other not in found and self._digest(other) == digest:
                    found.add(other)
                    waiting.append(other)
        return frozenset(found)

    def made_of(self, kinds: Collection[FileKind]) -> frozenset[FileKind]:
        """The kinds of this run that were made from one of `kinds` as it is here."""
        return frozenset(kind for kind in self.files if self.made_from(kind) & set(kinds))

    def _digest(self, kind: FileKind) -> str | None:
        entry = self.files.get(kind)
        return None if entry is None else entry.sha256


def is_run_name(name: str) -> bool:
    """Whether a run may be called so: it is the name of a folder."""
    return RUN_NAME.fullmatch(name) is not None


def before(kind: FileKind) -> frozenset[FileKind]:
    """The kinds that stand before `kind` in every run, also through others."""
    direct = BEFORE.get(kind, ())
    return frozenset(direct).union(*(before(each) for each in direct))


def after(kind: FileKind) -> frozenset[FileKind]:
    """The kinds before which `kind` stands in every run."""
    return frozenset(each for each in FileKind if kind in before(each))


def find_conflict(
    manifest: Manifest, put: Mapping[FileKind, str | None]
) -> tuple[FileKind, FileKind] | None:
    """Why files of the kinds `put` cannot be written into a run: (one of them, a file that would
    not belong to it any more). None where they can.

    `put` is kind -> digest of what is to be written, None while it is not known. A file that stays
    must not have been made from one that is replaced, nor stand after one that comes in anew: it
    was made without it.
    """
    changed = {
        kind
        for kind, digest in put.items()
        if kind not in manifest.files or digest is None or manifest.files[kind].sha256 != digest
    }
    for kind in sorted(changed, key=lambda kind: (kind not in manifest.files, kind)):
        found = manifest.made_of({kind}) if kind in manifest.files else after(kind)
        if staying := sorted((found & manifest.files.keys()) - put.keys()):
            return kind, staying[0]
    return None


def _inside_the_run(file: str) -> str:
    path = PurePosixPath(file)
    if not file or path.is_absolute() or ".." in path.parts:
        raise ValueError("expected a path inside the folder of the run")
    return file
