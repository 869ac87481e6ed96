"""One run on disk: its files, checked against the manifest before anybody reads them."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cluster.errors import InputError
from serving.runs.manifest import FILE_NAMES, FileKind, Manifest, RunFile, before
from serving.runs.named_files import named_files

__all__ = ["MANIFEST", "RunFolder", "now", "sha256_of"]

MANIFEST = "manifest.json"
LOCK = ".lock"
GROWING = frozenset({FileKind.DECISIONS})
"""files that lines are added to while their manifest says what they were: they may have grown"""


@dataclass(frozen=True)
class RunFolder:
    """A run as its manifest was when it was read."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path) -> RunFolder:
        """The run in `folder`. Raises `DocumentError` where it has no manifest that can be read."""
        return cls(folder, Manifest.load(folder / MANIFEST))

    @property
    def name(self) -> str:
        """By which `--run` names it."""
        return self.manifest.name

    def has(self, kind: FileKind) -> bool:
        """Whether it has a file of this kind."""
        return kind in self.manifest.files

    def path(self, kind: FileKind) -> Path:
        """Where its file of this kind is, or would be."""
        entry = self.manifest.files.get(kind)
        return self.folder / (FILE_NAMES[kind] if entry is None else entry.file)

    def digest(self, kind: FileKind) -> str | None:
        """SHA-256 of its file of this kind, as it was written; None where it has none."""
        entry = self.manifest.files.get(kind)
        return None if entry is None else entry.sha256

    @property
    def measured_under(self) -> FileKind:
        """The kind of the plan that its measurements were made under: its own, or that of the live
        loop, of which it has a copy then."""
        entry = self.manifest.files.get(FileKind.MEASUREMENTS)
        looped = entry is not None and FileKind.DRIVEN_PLAN in entry.made_from
        return FileKind.DRIVEN_PLAN if looped else FileKind.PLAN

    def checked(self, kind: FileKind) -> Path:
        """The path of its file of this kind, which is as it was written and belongs to the others.

        Raises `InputError`, with the name of the file that does not belong, otherwise.
        """
        entry = self.manifest.files.get(kind)
        if entry is None:
            raise InputError(f"run {self.name} has no {kind.words} ({self.path(kind)})")
        for file, digest in {entry.file: entry.sha256, **entry.parts}.items():
            if kind not in GROWING or not (self.folder / file).exists():
                self._refuse_changed(file, digest, entry.command)
        for named, digest in entry.names.items():
            _refuse_another_trace(Path(named), digest, self.path(kind))
        for other in sorted(before(kind) & entry.made_from.keys()):
            now_there = self.digest(other)
            if now_there is not None and now_there != entry.made_from[other]:
                raise InputError(
                    f"{self.path(kind)}: it was made from another {other.words} than "
                    f"{self.path(other)}; `{entry.command}` makes it anew"
                )
        return self.path(kind)

    def record(
        self, written: Mapping[FileKind, RunFile], *, dropped: frozenset[FileKind] = frozenset()
    ) -> RunFolder:
        """Add `written` to the manifest, which is read anew for it, so that two commands may write
        into one run; returns the run as it is then. Raises `OSError`."""
        with _only_writer(self.folder):
            path = self.folder / MANIFEST
            known = Manifest.load(path) if path.exists() else self.manifest
            kept = {kind: file for kind, file in known.files.items() if kind not in dropped}
            manifest = known.model_copy(update={"files": {**kept, **written}})
            manifest.save(path, durable=True)
        return RunFolder(self.folder, manifest)

    def describe(
        self,
        kind: FileKind,
        file: str,
        command: str,
        made_from: Mapping[FileKind, str],
        parts: tuple[str, ...] = (),
    ) -> RunFile:
        """The entry of a file that was written here just now. Raises `OSError` if it is gone."""
        path = self.folder / file
        return RunFile(
            file=file,
            sha256=sha256_of(path),
            bytes=path.stat().st_size,
            written_at=now().isoformat(timespec="seconds"),
            command=command,
            made_from={other: sha for other, sha in made_from.items() if other is not kind},
            parts={part: sha256_of(self.folder / part) for part in parts},
            names={named: sha256_of(Path(named)) for named in named_files(kind, path)},
        )

    def _refuse_changed(self, file: str, digest: str, command: str) -> None:
        path = self.folder / file
        try:
            found = sha256_of(path)
        except OSError as error:
            raise InputError(
                f"{path}: {error.strerror or error}, and run {self.name} should have it; "
                f"`{command}` wrote it"
            ) from None
        if found != digest:
            raise InputError(
                f"{path}: it was changed since `{command}` wrote it, so nothing in run {self.name} "
                "belongs to it; write it anew, or name a file of your own with its option"
            )


def _refuse_another_trace(trace: Path, digest: str, naming: Path) -> None:
    """Raise `InputError` if a trace is not what it was when the file that names it was written."""
    try:
        found = sha256_of(trace)
    except OSError as error:
        raise InputError(f"{trace}: {error.strerror or error}; {naming} names it") from None
    if found != digest:
        raise InputError(
            f"{trace}: it was changed since {naming}, which names it, became a file of its run; "
            "put it back, or begin another run with this one"
        )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits. Raises `OSError`."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def now() -> datetime:
    """The time of day (UTC), with which runs and their files are labelled."""
    return datetime.now(UTC)


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Hold the manifest of `folder` against other processes; the kernel's lock ends with ours."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
