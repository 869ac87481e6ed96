"""Commands on another machine by `ssh`, the program: keys, jumps and known hosts are the user's."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from cluster.provider_choice import SshHost
from cluster.providers.state import ClusterError

__all__ = ["SHELL_FAILED", "destination_of", "quoted_path", "run_on", "ssh_command"]

CONNECT_LIMIT_S = 10
SHELL_FAILED = 255
"""the status of `ssh` where the connection failed, not the command"""
OPTIONS = (
    "-o", "BatchMode=yes",  # it asks nobody for a password
    "-o", f"ConnectTimeout={CONNECT_LIMIT_S}",
    "-o", "ServerAliveInterval=10",
    "-o", "LogLevel=ERROR",
)  # fmt: skip


def ssh_command(machine: SshHost, config: Path | None, *, terminal: bool = False) -> list[str]:
    """What runs the words after it on `machine`, in the shell there."""
    words = ["ssh", *OPTIONS]
    if config is not None:
        words += ["-F", str(config.expanduser())]
    if machine.port is not None:
        words += ["-p", str(machine.port)]
    if machine.key is not None:
        words += ["-i", str(machine.key.expanduser()), "-o", "IdentitiesOnly=yes"]
    return [*words, *(["-t"] if terminal else []), destination_of(machine), "--"]


def destination_of(machine: SshHost) -> str:
    """USER@HOST, as ssh takes it."""
    return machine.host if machine.user is None else f"{machine.user}@{machine.host}"


def quoted_path(path: str) -> str:
    """`path` as a word of a shell that expands a leading `~/`, and nothing else of it."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)


def run_on(
    machine: SshHost, config: Path | None, command: str, given: bytes, limit_s: float
) -> bytes:
    """What the shell `command` writes on `machine`, with `given` as its input.

    Raises `ClusterError` if it cannot be reached, if the command fails, with its last line, or
    has not ended within `limit_s`.
    """
    where = destination_of(machine)
    try:
        done = subprocess.run(
            [*ssh_command(machine, config), command],
            input=given, capture_output=True, timeout=limit_s, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise ClusterError("provider ssh needs the program `ssh` on this machine") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{where}: no answer by ssh in {limit_s:.0f} s") from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit status {done.returncode}"
        if done.returncode == SHELL_FAILED:
            reason = f"not reached: {reason}; `ssh {where} true` must work without a question"
        raise ClusterError(f"{where}: {reason}")
    return done.stdout
