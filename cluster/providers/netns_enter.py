"""`python -m cluster.providers.netns_enter PATH COMMAND ...`: run it in a network namespace."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["enter_command"]

CLONE_NEWNET = 0x40000000
NOT_FOUND = 127


def enter_command(path: str) -> tuple[str, ...]:
    """The beginning of a command line that runs its rest in the network namespace at `path`."""
    return (sys.executable, "-m", "cluster.providers.netns_enter", path)


def _enter(path: str) -> None:
    """Move this process there. Raises `OSError`. (`os.setns` came with Python 3.12.)"""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


def main() -> int:
    """The program; returns only if the command cannot be run."""
    _, path, *command = sys.argv
    try:
        _enter(path)
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{error.filename or command[0]}: {error.strerror or error}\n")
    return NOT_FOUND


if __name__ == "__main__":
    sys.exit(main())
