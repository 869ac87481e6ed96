"""A peer's server as a process group on one core, and its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers.catalog import HERE, Peer

__all__ = ["running"]


@contextmanager
def running(peer: Peer, model: Path, batch: int, core: int | None, log: Path) -> Iterator[int]:
    """Start `peer` serving `model` on `core`; gives its port. What it says goes to `log`."""
    port = _two_free_ports()
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "RAY_SERVE_LOG_TO_STDERR": "0",
        **peer.settings,
    }  # fmt: skip
    environment.pop("PYTHONPATH", None)  # its environment is its own
    script = HERE / "servers" / peer.script
    with log.open("w") as said:
        process = subprocess.Popen(
            [peer.python, script, model, str(port), str(batch), str(peer.batch_timeout_s)],
            cwd=log.parent, env=environment, stdout=said, stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )  # fmt: skip
        try:
            yield port
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, then end what is left of its session (its workers are in it)."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing was left


def _two_free_ports() -> int:
    """A free port whose successor is free too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except OSError:
                continue
