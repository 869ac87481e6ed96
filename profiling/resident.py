"""What the system says that a process holds: the check of what allocators count.

A node's budget counts weights and the workspace of a batch. The process holds more: code of the
pass, what the allocator keeps in pieces. `testbed profile` says by how much.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["ResidentMemory"]

PROCESS = Path("/proc/self")
FORGET_PEAK = "5"
"""written to clear_refs: the peak begins anew with what is held now"""


class ResidentMemory:
    """Resident memory of this process, by the files of Linux in `process`."""

    def __init__(self, process: Path = PROCESS) -> None:
        self._process = process

    def now_bytes(self) -> int | None:
        """What is held now; None where the system does not say."""
        return self._status("VmRSS")

    def forget_peak(self) -> bool:
        """Let `peak_bytes` count from now on; False where the system does not let us."""
        try:
            (self._process / "clear_refs").write_text(FORGET_PEAK)
        except OSError:
            return False
        return True

    def peak_bytes(self) -> int | None:
        """The most that was held at once since `forget_peak`."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int | None:
        try:
            lines = (self._process / "status").read_text().splitlines()
        except OSError:
            return None
        for line in lines:
            words = line.split()
            if words and words[0] == f"{name}:" and len(words) == 3 and words[1].isdigit():
                return int(words[1]) * 1024
        return None
