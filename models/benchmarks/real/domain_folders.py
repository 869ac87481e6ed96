"""Pictures by domain and class: DomainNet, PACS and Office-Home, one loader.

    root/DOMAIN/CLASS/*.jpg
    root/DOMAIN_train.txt, root/DOMAIN_test.txt    official lists, "DOMAIN/CLASS/FILE NUMBER" a line

A domain is a task, and a domain that the folder lacks is a task without samples. Where a domain
has no list, its pictures are dealt to the splits by their names, 80, 10 and 10 %; where it has
lists but none for `val`, a tenth of `train` is set aside.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from models.benchmarks.real.files import read_picture
from models.benchmarks.real.stored import DataError, StoredBenchmark, share_of
from models.benchmarks.splits.interface import Sample
from models.tasks import find_task
from models.tasks.on_disk import DOMAIN_FOLDERS

__all__ = ["DomainNet", "OfficeHome", "Pacs"]

SUFFIXES = (".jpg", ".jpeg", ".png")
LIST_ENDINGS = {
    "train": ("_train.txt", "_train_kfold.txt"),
    "val": ("_val.txt", "_crossval_kfold.txt"),
    "test": ("_test.txt", "_test_kfold.txt"),
}
VAL_SHARE = 0.1


class _DomainFolders(StoredBenchmark):
    """Pictures in folders DOMAIN/CLASS; a domain is a task."""

    native_size: ClassVar[tuple[int, int]] = (64, 64)

    @classmethod
    def layout(cls) -> str:
        """See `StoredBenchmark`."""
        domains = ", ".join(DOMAIN_FOLDERS[cls.name].values())
        return f"DOMAIN/CLASS/*.jpg of {cls.name}, DOMAIN one of {domains}"

    @cached_property
    def _folders(self) -> dict[str, str]:
        """Folder of every domain that is there -> its task."""
        wanted = {_plain(folder): task for task, folder in DOMAIN_FOLDERS[self.name].items()}
        found = {
            path.name: wanted[_plain(path.name)]
            for path in sorted(self.root.iterdir())
            if path.is_dir() and _plain(path.name) in wanted
        }
        if not found:
            raise DataError(f"{self.root}: no folder of a domain; expected {self.layout()}")
        return found

    @cached_property
    def _class_of(self) -> dict[str, int]:
        """Class id by a plain class name; all domains have the same classes."""
        return {_plain(name): k for k, name in enumerate(find_task(self.tasks[0]).classes)}

    def _list(self, split: str) -> Sequence[str]:
        return [sample for folder in self._folders for sample in self._of_domain(folder, split)]

    def _of_domain(self, folder: str, split: str) -> Iterator[str]:
        lists = {name: self._official(folder, name) for name in LIST_ENDINGS}
        if lists["train"] is None and lists["test"] is None:
            edges = {"train": (0.2, 1.0), "val": (VAL_SHARE, 0.2), "test": (0.0, VAL_SHARE)}
            low, high = edges[split]
            yield from (s for s in self._walk(folder) if low <= share_of(s) < high)
            return
        official = lists[split]
        if official is not None:
            listed = list(self._read_list(official, folder))
            aside = split == "train" and lists["val"] is None
            yield from (s for s in listed if not aside or share_of(s) >= VAL_SHARE)
        elif split == "val" and lists["train"] is not None:
            train = self._read_list(lists["train"], folder)
            yield from (s for s in train if share_of(s) < VAL_SHARE)
        else:
            raise DataError(
                f"{self.root / (folder + LIST_ENDINGS[split][0])}: no such file, and the domain's "
                "other lists are there; expected the official list of the split"
            )

    def _official(self, folder: str, split: str) -> Path | None:
        paths = (self.root / (folder + ending) for ending in LIST_ENDINGS[split])
        return next((path for path in paths if path.is_file()), None)

    def _walk(self, folder: str) -> Iterator[str]:
        for path in sorted((self.root / folder).iterdir()):
            if path.is_dir():
                self._class_id(path.name, path)
                pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
                yield from (f"{folder}/{path.name}/{picture.name}" for picture in pictures)

    def _read_list(self, path: Path, folder: str) -> Iterator[str]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            name, _, class_number = line.strip().rpartition(" ")
            parts = name.split("/")
            if len(parts) != 3 or _plain(parts[0]) != _plain(folder) or not class_number.isdigit():
                raise DataError(
                    f"{path}:{number}: expected '{folder}/CLASS/FILE NUMBER', got {line!r}"
                )
            self._class_id(parts[1], path, f":{number}")
            yield f"{folder}/{parts[1]}/{parts[2]}"

    def _class_id(self, name: str, path: Path, place: str = "") -> int:
        found = self._class_of.get(_plain(name))
        if found is None:
            known = find_task(self.tasks[0]).classes
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:8]
            raise DataError(
                f"{path}{place}: {name!r} is no class of {self.name}, which has {len(known)}; "
                f"expected one like {', '.join(near)}"
            )
        return found

    def _read(self, sample: str) -> Sample:
        folder, class_name, _ = sample.split("/")
        task = find_task(self._folders[folder])
        label = np.zeros(len(task.classes), task.answer_dtype)
        label[self._class_of[_plain(class_name)]] = 1
        return Sample(read_picture(self.root / sample, self.size), {task.name: label})


class DomainNet(_DomainFolders):
    """Six domains of 345 classes; a domain of DomainNet is a task."""

    name = "domainnet"


class Pacs(_DomainFolders):
    """Four domains of seven classes."""

    name = "pacs"


class OfficeHome(_DomainFolders):
    """Four domains of 65 classes."""

    name = "office-home"


def _plain(name: str) -> str:
    """Copies of these data sets spell names with spaces, dashes, underscores or none."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
