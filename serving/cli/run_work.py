"""What one verb reads of a run and writes into one.

    work = RunWork(out, run, begins=True)
    profiles = work.read(FileKind.PROFILES, profiles, "--profiles")   # named, or the run's, checked
    work.writes((FileKind.PLAN,), output)                              # before the work: may we?
    ...
    work.save(FileKind.PLAN, solution.plan.save)                       # after it
    work.finish()                                                      # the manifest, last

Nothing is overwritten from which something else in the run was made: a verb that would do that
begins another run, and says so. With `--output` a verb writes a loose file, and no run knows of it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from cluster.document import Document, write_atomically
from cluster.errors import InputError
from cluster.providers.state import find_cluster
from cluster.specs import SPECS
from cluster.topology import Topology
from serving.cli.console import VerbOutput
from serving.cli.named_copy import NamedCopy, copy_of_demand
from serving.cli.output import check_folder, check_output, save_result
from serving.errors import OutputError
from serving.runs.find import RUNS, begin_run, claim_name, find_run, known_run, list_runs
from serving.runs.find import run_around as run_of
from serving.runs.manifest import FILE_NAMES, FileKind, RunFile, find_conflict
from serving.runs.run_folder import MANIFEST, RunFolder, now, sha256_of

__all__ = ["COMMAND", "RunWork"]

COMMAND: ContextVar[str] = ContextVar("command", default="testbed")
"""the command line that runs, for the manifest"""
MAKERS = {
    FileKind.PROFILES: "`testbed profile` makes them",
    FileKind.LINKS: "`testbed net check` measures them",
    FileKind.PROBLEM: "`testbed plan` and `testbed problem sample` make one",
    FileKind.PLAN: "`testbed plan` makes one",
    FileKind.MEASUREMENTS: "`testbed drive` makes them",
    FileKind.DECISIONS: "`testbed live` makes them",
}


@dataclass
class _Written:
    path: Path
    also: tuple[FileKind, ...] = ()
    parts: tuple[str, ...] = ()


@dataclass
class RunWork:
    """The run that a verb works in: the one that is named, or the newest.

    A verb that `begins` runs may be given the name of one that is not there yet; a `fresh` one
    reads nothing of other runs. Raises `InputError` for a name of no run.
    """

    out: VerbOutput
    asked: str | None
    begins: bool = False
    fresh: bool = False
    follows: bool = False
    """whether what it writes comes after all that the run has, so that another one begins"""
    along: tuple[FileKind, ...] = ()
    """that another run, if one begins, takes along where what is written does not change them,
    though nothing is made from them here: or it could not be gone on with"""
    of_file: Path | None = None
    """that the verb was given: without a name of a run, the run is the one that it lies in"""
    stem: str = ""
    """of the name of a run that begins; if left out, the topology's"""
    run: RunFolder | None = field(init=False, default=None)
    """that files are read from, None if there is none"""
    target: RunFolder | None = field(init=False, default=None)
    """that files are written into, None until `writes`, and for loose files"""
    _output: Path | None = field(init=False, default=None)
    _reason: str = field(init=False, default="")
    _read: dict[FileKind, str] = field(init=False, default_factory=dict)
    _named: dict[FileKind, NamedCopy] = field(init=False, default_factory=dict)
    _outputs: tuple[FileKind, ...] = field(init=False, default=())
    _dropped: tuple[FileKind, ...] = field(init=False, default=())
    _written: dict[FileKind, _Written] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        named = None
        if self.asked is not None:
            named = find_run(self.asked) if self.begins else known_run(self.asked)
            if named is not None and self.fresh:
                raise InputError(f"--run: run {self.asked} is there already; name a new one")
        if not self.fresh:
            around = None if self.of_file is None else run_of(self.of_file)
            self.run = named or around or next(iter(list_runs()), None)

    @property
    def words(self) -> str:
        """What to add to a command so that it means the run of this one: ` --run NAME`."""
        return "" if self.run is None else f" --run {self.run.name}"

    def has(self, kind: FileKind) -> bool:
        """Whether the run has a file of this kind."""
        return self.run is not None and self.run.has(kind)

    def read(self, kind: FileKind, given: Path | None, option: str) -> Path:
        """The file `given`, or without it the run's, which is checked; noted as what this verb's
        files are made from. Raises `InputError` if there is neither, or it does not belong."""
        if given is not None:
            self._note_file(kind, given)
            return given
        if self.run is None or not self.run.has(kind):
            raise self._missing(kind, option)
        path = self.run.checked(kind)
        self._read[kind] = self.run.manifest.files[kind].sha256
        return path

    def read_demand(self, given: Path | None, other: FileKind = FileKind.DEMAND) -> Path:
        """The demand `given`, the run's, or the demo's. One that is not the run's is kept as a file
        of the kind `other`: what was planned is not planned for what is only driven."""
        if given is None and self.has(FileKind.DEMAND):
            return self.read(FileKind.DEMAND, None, "--demand")
        path = given or SPECS / "demo-demand.yaml"
        named = copy_of_demand(FileKind.DEMAND, path)
        if self.run is not None and self.run.digest(FileKind.DEMAND) != named.digest:
            self._note(other, copy_of_demand(other, path))
        else:
            self._note(FileKind.DEMAND, named)
        return path

    def read_topology(self, given: Path | None) -> Topology:
        """The topology `given`, the run's, that of the running cluster, or the demo's."""
        if given is None and self.has(FileKind.TOPOLOGY):
            return Topology.load(self.read(FileKind.TOPOLOGY, None, "--topology"))
        if given is not None:
            found = Topology.load(given)
        else:
            state = find_cluster()
            found = state.topology if state else Topology.load(SPECS / "demo.yaml")
        self.note_topology(found)
        return found

    def note_topology(self, topology: Topology, *, measured: bool = False) -> None:
        """Note what this verb's files are made for. What is `measured` on its nodes stays true
        where budgets or links are others, so it is not made from it."""
        self.stem = self.stem or topology.name
        content = topology.as_text(".yaml").encode()
        self._note(FileKind.TOPOLOGY, NamedCopy.of(FILE_NAMES[FileKind.TOPOLOGY], content))
        if measured:
            del self._read[FileKind.TOPOLOGY]

    def note_document(self, kind: FileKind, document: Document) -> None:
        """Note a document that is no file yet, which the run gets a copy of."""
        file = FILE_NAMES[kind]
        self._note(kind, NamedCopy.of(file, document.as_text(Path(file).suffix).encode()))

    def writes(
        self,
        kinds: tuple[FileKind, ...],
        output: Path | None,
        *,
        drops: tuple[FileKind, ...] = (),
        option: str = "--output",
    ) -> Path:
        """Where the first of `kinds` is to be written; the others, and what else belongs to them,
        go beside it. Of the run, `drops` are no more once they are.

        Raises `InputError` if they cannot be written there, or would replace what others of the
        run that `--run` names were made from.
        """
        self._outputs, self._dropped, self._output = kinds, drops, output
        if output is not None:
            for path in self._paths():
                _refuse_file_of_a_run(path, option)
                check_output(path, option)
            return output
        self.target = self._choose()
        check_folder(self.target.folder, "--run" if self.asked else "out/runs")
        return self._paths()[0]

    def writes_folder(self, kind: FileKind, output: Path | None) -> Path:
        """As `writes`, for a file that has a folder of its own; returns the folder."""
        if output is None:
            return self.writes((kind,), None).parent
        check_folder(output)
        return self.writes((kind,), output / Path(FILE_NAMES[kind]).name).parent

    def path(self, kind: FileKind) -> Path:
        """Where a file of `kind` is to be written."""
        return self._paths()[self._outputs.index(kind)]

    def save(
        self, kind: FileKind, save: Callable[[Path], object], *, also: tuple[FileKind, ...] = ()
    ) -> None:
        """Call `save(path)`, or keep the file elsewhere (`save_result`). It is made from all that
        was read, and from what this verb wrote of the kinds `also`."""
        path = self.path(kind)
        save_result(save, path)
        self.wrote(kind, also=also)

    def wrote(
        self, kind: FileKind, *, also: tuple[FileKind, ...] = (), parts: tuple[Path, ...] = ()
    ) -> None:
        """Note a file that was written otherwise, and the files `parts` that belong to it."""
        path = self.path(kind)
        inside = tuple(str(part.relative_to(self.target.folder)) for part in parts
                       if self.target is not None)  # fmt: skip
        self._written[kind] = _Written(path, also, inside)

    def finish(self) -> RunFolder | None:
        """Write the manifest; returns the run as it is now, None for loose files. Raises
        `OutputError` where it cannot be written."""
        if self.target is None:
            return None
        target, begins = self.target, not (self.target.folder / MANIFEST).exists()
        try:
            taken = self._take() if begins else {}
            taken.update(self._copy_named())
            found = self._entries()
            dropped = frozenset(self._dropped) - self._read.keys() - found.keys()
            done = target.record({**taken, **found}, dropped=dropped)
        except OSError as error:
            raise OutputError(
                f"{target.folder}: the manifest of run {target.name} cannot be written: "
                f"{error.strerror or error}; make room, and run the command again"
            ) from None
        if begins:
            along = ", ".join(kind.words for kind in sorted(taken))
            self.out.say(
                f"run {target.name} begins"
                + (f", since {self._reason}" if self._reason else "")
                + (f"; it takes along {along}" if along and self.run is not None else "")
            )
        self.target = self.run = done
        return done

    def _paths(self) -> list[Path]:
        """Where the outputs go, in the order of their kinds."""
        others = self._outputs[1:]
        if self._output is not None:
            beside = [self._output.with_name(FILE_NAMES[kind]) for kind in others]
            return [self._output, *(beside if self._output.name else [])]
        assert self.target is not None
        return [self.target.folder / FILE_NAMES[kind] for kind in self._outputs]

    def _choose(self) -> RunFolder:
        """The run to write into: this one, or one that begins."""
        run = self.run
        if run is not None and self.asked in (None, run.name):
            put: dict[FileKind, str | None] = {
                kind: each.digest for kind, each in self._named.items()
            }
            put.update(dict.fromkeys(self._outputs))
            put.update(dict.fromkeys({*self._dropped} - self._read.keys()))
            self._reason = self._foreign(run) or _conflict_words(run, put)
            if not self._reason:
                return run
            if self.asked is not None and not self.follows:
                then = "name a new run" if self.begins else "write a file of your own (--output)"
                raise InputError(f"--run {run.name}: {self._reason}; leave --run out, or {then}")
        when = now()
        base = None if run is None else run.name
        name = self.asked if self.asked != base else None
        return begin_run(name or claim_name(self._stem(), when), when, base)

    def _foreign(self, run: RunFolder) -> str:
        """Why what was named belongs to another run than `run`; empty if it does not."""
        for kind, each in sorted(self._named.items()):
            if isinstance(each.content, Path):  # topology and demand may be replaced
                return f"{each.content} is not the {kind.words} file of run {run.name}"
        return ""

    def _stem(self) -> str:
        if not self.stem and self.run is not None and self.run.has(FileKind.TOPOLOGY):
            self.stem = Topology.load(self.run.path(FileKind.TOPOLOGY)).name
        return re.sub(r"[^A-Za-z0-9._-]+|^[._-]+", "-", self.stem).strip("-")[:40] or "run"

    def _take(self) -> dict[FileKind, RunFile]:
        """Copy into a run that begins what was read, and what that was made from."""
        if self.run is None:
            return {}
        assert self.target is not None
        manifest, folder = self.run.manifest, self.target.folder
        read = {
            kind for kind in (*self._read, *self.along)
            if kind not in self._named and self.run.has(kind)
        }  # fmt: skip
        wanted = read.union(*(manifest.made_from(kind) for kind in read))
        wanted |= {FileKind.TOPOLOGY} & manifest.files.keys() - self._named.keys()
        replaced = {*self._named, *self._outputs}
        others = {
            kind for kind in replaced
            if kind in self._outputs or self.run.digest(kind) != self._named[kind].digest
        }  # fmt: skip
        wanted -= manifest.made_of(others) | replaced | ({*self._dropped} - read)
        for kind in wanted:
            self.run.checked(kind)
            entry = manifest.files[kind]
            for file in (entry.file, *entry.parts):
                _copy(self.run.folder / file, folder / file)
        return {kind: manifest.files[kind] for kind in wanted}

    def _copy_named(self) -> dict[FileKind, RunFile]:
        assert self.target is not None
        found = {}
        for kind, each in self._named.items():
            if self.target.digest(kind) == each.digest:
                continue
            path = self.target.folder / each.file
            if isinstance(each.content, Path):
                _copy(each.content, path)
            else:
                write_atomically(path, each.content)
            found[kind] = self.target.describe(kind, each.file, COMMAND.get(), {})
        return found

    def _entries(self) -> dict[FileKind, RunFile]:
        assert self.target is not None
        digests = {kind: sha256_of(each.path) for kind, each in self._written.items()}
        return {
            kind: self.target.describe(
                kind,
                str(each.path.relative_to(self.target.folder)),
                COMMAND.get(),
                {**self._read, **{other: digests[other] for other in each.also}},
                each.parts,
            )
            for kind, each in self._written.items()
        }

    def _note_file(self, kind: FileKind, path: Path) -> None:
        try:
            digest = sha256_of(path)
        except OSError:
            return  # whoever reads it says what is wrong with it
        self._note(kind, NamedCopy(FILE_NAMES[kind], digest, path))

    def _note(self, kind: FileKind, named: NamedCopy) -> None:
        self._read[kind] = named.digest
        if self.run is None or self.run.digest(kind) != named.digest:
            self._named[kind] = named

    def _missing(self, kind: FileKind, option: str) -> InputError:
        then = f"{MAKERS.get(kind, 'make one')}, or name a file with {option}"
        where = f"{RUNS}: there is no run" if self.run is None else f"run {self.run.name}"
        loose = Path("out") / FILE_NAMES[kind]
        if loose.exists():
            then = f"{loose}, of an older version, can be named with {option}"
        having = next((run.name for run in list_runs() if run.has(kind)), None)
        if having is not None:
            then = f"`--run {having}` has; {then}"
        has = " with" if self.run is None else " has no"
        return InputError(f"{where}{has} {kind.words}; {then}")


def _conflict_words(run: RunFolder, put: dict[FileKind, str | None]) -> str:
    conflict = find_conflict(run.manifest, put)
    if conflict is None:
        return ""
    kind, staying = conflict
    if run.has(kind):
        return f"the {staying.words} file of run {run.name} was made from its {kind.words} file"
    return f"the {staying.words} file of run {run.name} was made without a {kind.words} file"


def _refuse_file_of_a_run(path: Path, option: str) -> None:
    """Raise `InputError` for a file in the folder of a run, whose manifest would not know of it."""
    for folder in path.absolute().parents:
        if os.path.exists(folder / MANIFEST):  # noqa: PTH110 - any name may be asked about
            raise InputError(
                f"{option}: {path} is in the folder of run {folder.name}, whose manifest would not "
                f"know of it; name another file, or say --run {folder.name}"
            )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
