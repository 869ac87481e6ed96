"""Gives each target slices of time, in processes of their own, and keeps what was found.

A process that dies, or that makes no progress, is a finding like an exception is: the input that
it was at lies in memory that it shares with the driver.
"""

from __future__ import annotations

import hashlib
import mmap
import multiprocessing
import struct
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

from fuzz.target import Target

__all__ = ["Finding", "Slice", "drive", "explore", "keep"]

SHARED_BYTES = 2**22
HANG_S = 30.0
"""without a new input"""
MOST_OF_A_KIND = 3
"""inputs that are kept of one kind of finding, by one slice"""
_HEAD = struct.Struct("!QI")


@dataclass(frozen=True)
class Finding:
    """An input that a target reads wrongly, and how that shows."""

    target: str
    data: bytes
    what: str
    """a traceback, or how the process ended"""

    @property
    def kind(self) -> str:
        """Where it was raised, and the error's class: findings of a kind are probably one."""
        lines = self.what.strip().splitlines()
        places = [line.strip() for line in lines if line.lstrip().startswith("File ")]
        return f"{places[-1] if places else ''} {lines[-1].split(':')[0]}"


@dataclass
class Slice:
    """A process that tries inputs of one target until its time is up."""

    target: Target
    seed: str
    seconds: float

    def __post_init__(self) -> None:
        self._shared = mmap.mmap(-1, SHARED_BYTES)
        self._process: BaseProcess | None = None
        self._seen, self._seen_at_s = 0, 0.0

    def start(self, folder: Path, clock_s: float) -> None:
        """Begin; findings go into `folder`."""
        context = multiprocessing.get_context("fork")  # what targets import is imported once
        self._seen_at_s = clock_s
        self._process = context.Process(
            target=explore, args=(self.target, self.seed, self.seconds, folder, self._shared)
        )
        self._process.start()

    @property
    def tried(self) -> int:
        """Inputs so far."""
        return int(_HEAD.unpack_from(self._shared)[0])

    def poll(self, clock_s: float) -> tuple[bool, Finding | None]:
        """Whether it has ended, and what its end says."""
        assert self._process is not None
        if not self._process.is_alive():
            code = self._process.exitcode
            ended = f"the process ended with exit code {code}"
            return True, self._last(ended) if code else None
        if self.tried != self._seen:
            self._seen, self._seen_at_s = self.tried, clock_s
        if clock_s - self._seen_at_s > HANG_S:
            self._process.kill()
            self._process.join()
            return True, self._last(f"no end within {HANG_S:g} s")
        return False, None

    def _last(self, what: str) -> Finding:
        _, size = _HEAD.unpack_from(self._shared)
        return Finding(self.target.name, self._shared[_HEAD.size : _HEAD.size + size], what)


def explore(target: Target, seed: str, seconds: float, folder: Path, shared: mmap.mmap) -> None:
    """Try inputs for `seconds`; the n-th is the same for the same seed."""
    corpus = list(target.corpus().values())
    kinds: dict[str, int] = {}
    end_s = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end_s:
        number += 1
        data = target.make(Random(f"{seed} {number}"), corpus)
        shown = data[: SHARED_BYTES - _HEAD.size]
        shared[_HEAD.size : _HEAD.size + len(shown)] = shown
        shared[: _HEAD.size] = _HEAD.pack(number, len(shown))
        try:
            target.check(data)
        except Exception:  # noqa: BLE001 - whatever a reader raises beyond its own errors is found
            finding = Finding(target.name, data, traceback.format_exc())
            kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
            if kinds[finding.kind] <= MOST_OF_A_KIND:
                keep(finding, folder)


def keep(finding: Finding, folder: Path) -> Path:
    """Write a finding's input, and beside it what it does, and print a line; gives the input."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{finding.target}-{hashlib.sha256(finding.data).hexdigest()[:12]}"
    path.write_bytes(finding.data)
    path.with_name(f"{path.name}.txt").write_text(finding.what)
    print(f"{path}: {finding.what.strip().splitlines()[-1][:200]}", flush=True)
    return path


def drive(
    targets: Sequence[Target], *, seed: str, seconds: float, slice_s: float, jobs: int, folder: Path
) -> dict[str, int]:
    """Inputs that were tried of each target. Each has a slice in turn until `seconds` are over,
    `jobs` of them at a time; the last are cut short."""
    end_s = time.monotonic() + seconds
    tried = dict.fromkeys((target.name for target in targets), 0)
    running: list[Slice] = []
    turn = 0
    while running or time.monotonic() < end_s:
        left_s = end_s - time.monotonic()
        if left_s > 0 and len(running) < jobs:
            target = targets[turn % len(targets)]
            chosen = Slice(target, f"{seed} {target.name} {turn}", min(slice_s, left_s))
            chosen.start(folder, time.monotonic())
            running.append(chosen)
            turn += 1
            continue
        for each in list(running):
            ended, finding = each.poll(time.monotonic())
            if finding is not None:
                keep(finding, folder)
            if ended:
                tried[each.target.name] += each.tried
                running.remove(each)
        time.sleep(0.02)
    return tried
