"""A client node's doors in a process of their own, which says what a request cost it.

Run as a script it serves until its standard input ends; each line there is a command, each answer a
line of JSON. `MeteredDoor` is the other end.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from models.runtime.allocator import give_back_freed_memory, keep_freed_memory
from support.paths import ROOT

__all__ = ["Cost", "MeteredDoor"]

SIZE = 96
BEAT_S = 0.0005
TOKEN = "a token of 16 signs or more"


@dataclass(frozen=True)
class Cost:
    """What became of the process since the last `reset`."""

    peak_bytes: int
    """most of resident memory, beyond what it was"""
    kept_bytes: int
    """resident memory now, beyond what it was"""
    late_s: float
    """longest time for which its event loop did not turn, beyond the beat"""


class MeteredDoor:
    """The door process; ends with the context."""

    def __init__(self, token: str | None = None, interpolation: str = "bilinear") -> None:
        arguments = [sys.executable, "-m", "support.metered_door", token or "", interpolation]
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=ROOT / "tests", env=_environment(),
        )  # fmt: skip
        ports = self._ask("ports")
        self.http, self.grpc = int(ports["http"]), int(ports["grpc"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    def reset(self, *, cold: bool = False) -> None:
        """Count from now on. The door keeps the memory that it frees, as the process of a node does
        once it has a model; `cold`: it gives back what is free and what a body frees, so that the
        peak is all of what that body takes."""
        self._ask("reset cold" if cold else "reset")

    def cost(self) -> Cost:
        """Since `reset`."""
        return Cost(**self._ask("cost"))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(20)

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the door's process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}


def _resident_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {field} in /proc/self/status")


def _give_back_what_is_freed() -> None:
    """The opposite of `keep_freed_memory`: glibc's thresholds as they are at first."""
    library = ctypes.CDLL(None)
    for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
        library.mallopt(option, 2**17)


class _Meter:
    """What it reads at each beat it reads without an object that only the collector frees.

    The door collects seldom: a `Path.read_text` at each beat was 7 MiB of garbage every three
    seconds, which then stood in some body's account.
    """

    def __init__(self) -> None:
        self.late_s = 0.0
        self.before_bytes = 0
        self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    async def beat(self) -> None:
        """Turns of the loop, as close as timers allow; how late each is.

        A beat that comes late because another process had the core is not the door's doing: the
        time in which the loop's thread was ready and had no core is taken off, and no more counts
        than this process worked meanwhile, on any of its threads.
        """
        while True:
            asked_s, worked_s = time.perf_counter(), time.process_time()
            waited_s = self._waited_for_core_s()
            await asyncio.sleep(BEAT_S)
            late_s = time.perf_counter() - asked_s - BEAT_S - (self._waited_for_core_s() - waited_s)
            self.late_s = max(self.late_s, min(late_s, time.process_time() - worked_s))

    def _waited_for_core_s(self) -> float:
        """How long the loop's thread has been ready to run without a core, since it began."""
        return 1e-9 * int(os.pread(self._schedstat, 64, 0).split()[1])

    def reset(self, *, cold: bool) -> None:
        gc.collect()
        if cold:
            _give_back_what_is_freed()
            give_back_freed_memory()
        else:
            keep_freed_memory()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is what there is now
        self.before_bytes = _resident_bytes("VmRSS:")
        self.late_s = 0.0

    def cost(self) -> dict[str, float]:
        return {
            "peak_bytes": max(0, _resident_bytes("VmHWM:") - self.before_bytes),
            "kept_bytes": _resident_bytes("VmRSS:") - self.before_bytes,
            "late_s": self.late_s,
        }


async def _serve(token: str | None, interpolation: Any) -> None:
    import numpy as np
    import torch  # noqa: F401  as a client's node has before its doors open (`NodeModels.prepare`)
    from numpy.typing import NDArray

    from cluster.topology import Node, Tier
    from models.runtime.image_bodies import decode_image
    from models.zoo.cards import Preprocessing
    from serving.ingress.access import DoorConfig
    from serving.ingress.listen import open_doors
    from serving.node.config import NodeConfig
    from serving.node.device.process_tuning import freeze_heap, take_short_turns
    from serving.node.device.served import Image
    from serving.node.server import NodeServer
    from serving.routing.routes import RouteTable, Target

    class Model:
        weights_bytes = 0

        def run(self, images: Image) -> dict[str, NDArray[np.generic]]:
            return {"depth": images[..., 0].astype(np.float16)}

        def close(self) -> None:
            """Holds nothing."""

    card = Preprocessing(
        height=SIZE, width=SIZE, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation=interpolation
    )
    place = Node(name="client", tier=Tier.CLIENT, memory=2**20, compute=0.5, window_s=30.0)  # type: ignore[arg-type]
    server = NodeServer(
        NodeConfig(place, (), ("depth",), "token", {"client": 0.2}),
        lambda _: Model(),
        lambda _: (SIZE, SIZE, 3),
    )
    freeze_heap()
    take_short_turns()
    await server.load(("m",))
    server.route(RouteTable(3, {"depth": ((Target("client", "client", "m"), 1.0),)}))
    doors = await open_doors(
        server,
        lambda body, header: decode_image(body, card, header),
        (SIZE, SIZE),
        DoorConfig(token=token) if token else None,
    )
    meter = _Meter()
    beating = asyncio.ensure_future(meter.beat())
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while line := (await commands.readline()).decode().strip():
        if line.startswith("reset"):
            meter.reset(cold=line.endswith("cold"))
        told: dict[str, float] = {"http": doors.http_port, "grpc": doors.grpc_port}
        print(json.dumps(meter.cost() if line == "cost" else told), flush=True)
    beating.cancel()
    await doors.close()
    server.close()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1] or None, sys.argv[2]))
