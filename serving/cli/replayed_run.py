"""The recording that `--replay` names: a run, a folder, or a file."""

from __future__ import annotations

from pathlib import Path

from cluster.document import DocumentError
from cluster.errors import InputError
from serving.runs.find import find_run, list_runs
from serving.runs.manifest import FILE_NAMES, FileKind, is_run_name
from serving.runs.run_folder import MANIFEST, RunFolder
from serving.traffic.measurement import Measurements
from serving.watch.recorded import Recorded
from serving.watch.recording import read_recording

__all__ = ["find_recording"]

KINDS = (FileKind.RECORDING, FileKind.LIVE_RECORDING)
MADE_BY = "`testbed drive` and `testbed live` record one"


def find_recording(given: str) -> tuple[Recorded, str]:
    """The recording that was named, and by which name it is shown.

    Raises `InputError` where there is none, and `DocumentError` for one that cannot be read.
    """
    path = Path(given)
    if path.is_file():
        return read_recording(path, _rows(path.parent / FILE_NAMES[FileKind.MEASUREMENTS])), given
    if path.is_dir():
        if (path / MANIFEST).exists():
            return _of_run(RunFolder.open(path))
        for kind in KINDS:
            if (file := path / FILE_NAMES[kind]).exists():
                rows = _rows(path / FILE_NAMES[FileKind.MEASUREMENTS])
                return read_recording(file, rows), path.name
        raise InputError(f"--replay: {given} has no {FILE_NAMES[FileKind.RECORDING]}; {MADE_BY}")
    run = find_run(given, option="--replay") if is_run_name(given) else None
    if run is None:
        names = ", ".join(each.name for each in list_runs()[:3]) or "none here"
        raise InputError(
            f"--replay: no run, folder or file is named {given!r}; the newest runs are: {names}"
        )
    return _of_run(run)


def _of_run(run: RunFolder) -> tuple[Recorded, str]:
    """Of a run. Its recording is read also where the command that made it was killed, and had no
    time to write it into the manifest."""
    for kind in KINDS:
        if run.path(kind).exists():
            measured = FileKind.MEASUREMENTS
            rows = Measurements.load(run.checked(measured)) if run.has(measured) else None
            return read_recording(run.path(kind), rows), run.name
    raise InputError(f"--replay: run {run.name} has no recording; {MADE_BY}")


def _rows(path: Path) -> Measurements | None:
    """What was measured beside a recording that belongs to no run, if that can be read."""
    try:
        return Measurements.load(path)
    except DocumentError:
        return None
