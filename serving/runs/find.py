"""The runs that there are: the newest, one by its name, and names for new ones."""

from __future__ import annotations

import difflib
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from cluster.document import DocumentError
from cluster.errors import InputError, UnknownNameError
from serving.runs.manifest import Manifest, is_run_name
from serving.runs.run_folder import MANIFEST, RunFolder

__all__ = [
    "RUNS", "begin_run", "check_run_name", "claim_name", "find_run", "known_run", "list_runs",
    "release_names", "run_around",
]  # fmt: skip

RUNS = Path("out/runs")
"""folder of all runs, from the folder in which commands run"""


def list_runs(root: Path = RUNS) -> tuple[RunFolder, ...]:
    """The runs in `root`, the newest first. One whose manifest cannot be read is left out: it must
    not keep others from being used, and `find_run` says what is wrong with it."""
    found = []
    for path in root.glob(f"*/{MANIFEST}"):
        try:
            found.append(RunFolder.open(path.parent))
        except DocumentError:
            continue
    return tuple(sorted(found, key=lambda run: (run.manifest.created_at, run.name), reverse=True))


def find_run(name: str, root: Path = RUNS, *, option: str = "--run") -> RunFolder | None:
    """The run of that name; None if there is none. Raises `InputError` for what is no name, and
    `DocumentError` for a manifest that cannot be read or is of another name."""
    check_run_name(name, option)
    folder = root / name
    if not (folder / MANIFEST).exists():
        return None
    run = RunFolder.open(folder)
    if run.name != name:
        raise DocumentError(
            f"{folder / MANIFEST}: name: it is that of run {run.name}; give the folder this name"
        )
    return run


def known_run(name: str, root: Path = RUNS, *, option: str = "--run") -> RunFolder:
    """The run of that name, which `option` names. Raises `UnknownNameError`, with near names, if
    there is none."""
    run = find_run(name, root, option=option)
    if run is not None:
        return run
    names = [each.name for each in list_runs(root)]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:3]
    hint = f"near names: {', '.join(near)}" if near else f"there is none in {root}"
    raise UnknownNameError(f"{option}: no run {name!r} ({hint}); `testbed runs` lists them")


def run_around(file: Path, root: Path = RUNS) -> RunFolder | None:
    """The run in `root` that `file` lies in; None if it lies in none. Raises `DocumentError` for a
    manifest that cannot be read."""
    place = file.resolve()
    for run in root.glob("*"):
        if place.is_relative_to(run.resolve()) and (run / MANIFEST).exists():
            return RunFolder.open(run)
    return None


def check_run_name(name: str, option: str = "--run") -> None:
    """Raise `InputError` for what cannot be the name of a run."""
    if not is_run_name(name):
        raise InputError(
            f"{option}: {name!r} cannot be the name of a run; take letters, digits, dashes, dots "
            "and underscores"
        )


def claim_name(stem: str, when: datetime, root: Path = RUNS) -> str:
    """A name that no run has and no other command gets: `stem`, day and time, and a number where
    that is taken. Its folder is made here; where it is left empty, `release_names` takes it away.
    """
    asked = f"{stem}-{when.astimezone():%Y%m%d-%H%M%S}"
    for number in count(1):
        name = asked if number == 1 else f"{asked}-{number}"
        new = [root / name, *(above for above in (root, *root.parents) if not above.exists())]
        try:
            root.mkdir(parents=True, exist_ok=True)
            (root / name).mkdir()
        except FileExistsError:
            continue
        except OSError:
            return name  # whoever writes there says what is wrong
        _claimed.extend(new)
        return name
    raise AssertionError("numbers do not end")


def release_names() -> None:
    """Take away the folders that were made for names and hold nothing."""
    while _claimed:
        with suppress(OSError):
            _claimed.pop(0).rmdir()


_claimed: list[Path] = []
"""folders that were made, each before those that it lies in"""


def begin_run(name: str, when: datetime, from_run: str | None, root: Path = RUNS) -> RunFolder:
    """A run without files, of which nothing is written yet."""
    manifest = Manifest(
        name=name, created_at=when.isoformat(timespec="microseconds"), from_run=from_run
    )
    return RunFolder(root / name, manifest)
