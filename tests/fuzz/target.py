"""What a fuzz target is, and what a reader of bytes may take of time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

from models.runtime.allocator import give_back_freed_memory

__all__ = ["CORPUS", "Target", "bounded"]

CORPUS = Path(__file__).with_name("corpus")
TRIES = 3
T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """A reader of bytes, and inputs for it.

    `make` draws an input, mostly by bending one of the files given to it; `check` raises for an
    input that is read wrongly. What `check` does depends on its bytes alone, so that an input in a
    file repeats a finding.
    """

    name: str
    make: Callable[[Random, Sequence[bytes]], bytes]
    check: Callable[[bytes], None]
    folder: str = ""
    """of its corpus, where that is another than its name"""

    def corpus(self) -> dict[str, bytes]:
        """The committed inputs, by the name of their file."""
        return {
            path.name: path.read_bytes()
            for path in sorted((CORPUS / (self.folder or self.name)).iterdir())
        }


def bounded(call: Callable[[], T], *, most_s: float, most_bytes: int) -> T:
    """What `call` gives. Raises `AssertionError` if it takes more CPU seconds of this thread, or
    more memory of this process beyond what it held; the time of three tries at least, because a
    first one may meet cold caches."""
    reset_peak()
    before_bytes, begun_s = resident_bytes("VmRSS:"), time.thread_time()
    try:
        return call()
    finally:
        spent_s = time.thread_time() - begun_s
        taken_bytes = resident_bytes("VmHWM:") - before_bytes
        if spent_s > most_s:
            spent_s = min(spent_s, *(_seconds_of(call) for _ in range(TRIES - 1)))
        assert spent_s <= most_s, f"took {spent_s:.3f} s of CPU time, at most {most_s:.3f} s"
        assert taken_bytes <= most_bytes, f"took {taken_bytes} bytes, at most {most_bytes}"


def _seconds_of(call: Callable[[], object]) -> float:
    begun_s = time.thread_time()
    with suppress(Exception):  # raised once already; only its time counts here
        call()
    return time.thread_time() - begun_s


def reset_peak() -> None:
    """The peak of resident memory is what there is now, without what malloc keeps of before."""
    give_back_freed_memory()
    Path("/proc/self/clear_refs").write_text("5")


def resident_bytes(field: str) -> int:
    """`VmRSS:`, resident memory, or `VmHWM:`, its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {field} in /proc/self/status")
