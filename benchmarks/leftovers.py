"""What clusters of this machine have made and not taken away: what K2 counts, and the drills."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

__all__ = ["Traces", "left", "was_told"]

INTERFACE = re.compile(r"tb[0-9a-f]{6}(-\d+)?")


@dataclass(frozen=True)
class Traces:
    """What is there of clusters whose records are in one state folder, or anywhere."""

    processes: frozenset[str]
    """of this state folder"""
    namespaces: frozenset[str]
    """network namespaces that a process lives in, by number"""
    interfaces: frozenset[str]
    mounts: frozenset[str]
    shared_memory: frozenset[str]
    """of Ray's object store"""
    folders: frozenset[str]

    @classmethod
    def look(cls, state: str) -> Self:
        """What is there now."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return cls(
            processes=frozenset(_processes(state)),
            namespaces=frozenset(_namespaces()),
            interfaces=frozenset(
                path.name
                for path in Path("/sys/class/net").iterdir()
                if INTERFACE.fullmatch(path.name)
            ),
            mounts=frozenset(p for m in mounts if (p := m.split()[4]).startswith("/tmp/testbed-")),
            shared_memory=frozenset(map(str, Path("/dev/shm").glob("plasma*"))),
            folders=frozenset(
                map(
                    str,
                    {
                        *Path("/tmp").glob(f"testbed-{os.getuid()}-*"),
                        *Path("/tmp").glob("testbed-ssh-*"),
                        *Path("/tmp").glob("testbed-attached-*"),
                    },
                )
            ),
        )

    def beyond(self, before: Traces) -> list[str]:
        """What was not there before, each with its kind."""
        return [
            f"{kind} {each}"
            for kind in self.__dataclass_fields__
            for each in sorted(getattr(self, kind) - getattr(before, kind))
        ]


def left(state: str, before: Traces, limit_s: float = 20.0) -> list[str]:
    """What stays of clusters of that state folder: the kernel takes namespaces away by and by, once
    nobody is in them, and shared memory with the last process. Namespaces of other programs of
    this machine come and go meanwhile, and count for nothing."""
    ends_s = time.monotonic() + limit_s
    while True:
        found = Traces.look(state).beyond(before)
        stays = [each for each in found if not each.startswith("namespaces ")]
        if not stays or time.monotonic() > ends_s:
            return stays
        time.sleep(0.1)


def _processes(state: str) -> list[str]:
    return [
        f"{process.pid} {' '.join(process.info['cmdline'] or ())[:80]}"
        for process in psutil.process_iter(["cmdline"])
        if process.pid != os.getpid() and was_told(process.pid, f"TESTBED_STATE_DIR={state}\0")
    ]


def was_told(pid: int, setting: str) -> bool:
    """Whether that stands in its environment as it lies in memory; see `cluster.environment`."""
    try:
        return setting.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended
        return False


def _namespaces() -> set[str]:
    found = set()
    for process in psutil.pids():
        try:
            found.add(str(Path(f"/proc/{process}/ns/net").readlink()))
        except OSError:  # it has ended
            continue
    return found
