"""The demo's files once more, as a run that every verb can go on from."""

from __future__ import annotations

from pathlib import Path

from cluster.document import write_atomically
from cluster.topology import Topology
from serving.cli.run_work import COMMAND
from serving.errors import OutputError
from serving.runs.find import begin_run, claim_name
from serving.runs.manifest import FILE_NAMES, FileKind, RunFile
from serving.runs.run_folder import RunFolder, now

__all__ = ["keep_run"]

MADE_FROM: dict[FileKind, tuple[FileKind, ...]] = {
    FileKind.PROFILES: (),
    FileKind.PROBLEM: (FileKind.TOPOLOGY, FileKind.PROFILES, FileKind.DEMAND),
    FileKind.PLAN: (FileKind.PROBLEM, FileKind.PROFILES),
    FileKind.MEASUREMENTS: (FileKind.PLAN, FileKind.DEMAND),
    FileKind.GALLERY: (FileKind.MEASUREMENTS,),
    FileKind.DECISIONS: (FileKind.PLAN, FileKind.PROFILES),
    FileKind.REPORT: (FileKind.MEASUREMENTS, FileKind.GALLERY, FileKind.PLAN, FileKind.PROFILES),
}
"""of the demo's files, each after what it is made from"""


def keep_run(topology: Topology, demand: Path, folder: Path) -> RunFolder:
    """Begin a run with copies of what the demo left in `folder`. Raises `OutputError`."""
    when = now()
    run = begin_run(claim_name(f"demo-of-{topology.name}", when), when, None)
    files: dict[FileKind, RunFile] = {}

    def keep(kind: FileKind, content: bytes, page: bytes | None = None) -> None:
        write_atomically(run.folder / FILE_NAMES[kind], content)
        parts: tuple[str, ...] = ()
        if page is not None:
            parts = ("report/report.html",)
            write_atomically(run.folder / parts[0], page)
        made_from = {other: files[other].sha256 for other in MADE_FROM.get(kind, ())}
        files[kind] = run.describe(kind, FILE_NAMES[kind], COMMAND.get(), made_from, parts)

    try:
        keep(FileKind.TOPOLOGY, topology.as_text(".yaml").encode())
        keep(FileKind.DEMAND, demand.read_bytes())
        for kind in MADE_FROM:
            source = folder / Path(FILE_NAMES[kind]).name
            if source.exists():
                page = folder / "report.html" if kind is FileKind.REPORT else None
                keep(kind, source.read_bytes(), page.read_bytes() if page else None)
        return run.record(files)
    except OSError as error:
        raise OutputError(
            f"{run.folder}: the run of the demo cannot be kept: {error.strerror or error}; the "
            f"demo's files are in {folder}"
        ) from None
