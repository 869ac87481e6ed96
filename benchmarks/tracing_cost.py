"""W3: what tracing costs a client's door, switched off and of one query in a hundred.

Three servers run on one core, and take the same load in turn: one whose process does as if
OpenTelemetry were not installed, one that does not trace, and one that traces a hundredth. A
ratio is of a turn and the mean of those of the first just before and just after it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import uvloop

from http_door import HttpDoor
from load import await_ready, closed_loop
from models.benchmarks.domains import Domains
from models.runtime.model_runtime import ModelRuntime
from models.zoo.registry import find_model
from oip_door import oip_door
from serving.tracing.config import span_file
from serving_process import MAX_BATCH, MODEL, TASK, Traced, one_hop
from stolen import undisturbed

__all__ = ["cost_of_tracing"]

CALLERS = 64
SHARE = 0.01


def cost_of_tracing(turns: int, seconds: float) -> dict[str, list[float]]:
    """W3.off and W3.sampled, a ratio for each turn of `seconds`."""
    domains = Domains("test")
    images = np.stack([domains.sample(index).image for index in range(CALLERS)])
    runtime = ModelRuntime.load(find_model(MODEL), max_batch=MAX_BATCH)
    expected = runtime.run(images[:1])[TASK][0].tobytes()
    server_core, own_core = _cores()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        kinds = {
            "none": Traced(installed=False),
            "off": Traced(installed=True),
            "sampled": Traced(installed=True, share=SHARE, folder=folder),
        }
        doors = {
            name: oip_door(servers.enter_context(one_hop(server_core, traced=kind)), TASK, images)
            for name, kind in kinds.items()
        }
        if own_core is not None:
            os.sched_setaffinity(0, {own_core})
        found = uvloop.run(_in_turn(doors, expected, turns, seconds))
        if not span_file(Path(folder), "client").exists():
            raise RuntimeError("nothing was traced")
    return found


async def _in_turn(
    doors: Mapping[str, HttpDoor], expected: bytes, turns: int, seconds: float
) -> dict[str, list[float]]:
    async def rate_qps(name: str) -> float:
        load, _ = await undisturbed(lambda: closed_loop(doors[name], CALLERS, seconds))
        return load.answered_qps

    for name, door in doors.items():
        await await_ready(door, expected)
        await rate_qps(name)  # the first load of a server is slower
    found: dict[str, list[float]] = {"W3.off": [], "W3.sampled": []}
    before = await rate_qps("none")
    for turn in range(turns):
        # Which of the two comes first changes: a machine's speed may have a trend.
        for name in ("off", "sampled") if turn % 2 else ("sampled", "off"):
            measured = await rate_qps(name)
            after = await rate_qps("none")
            found[f"W3.{name}"].append(measured / statistics.mean((before, after)))
            before = after
    for door in doors.values():
        await door.__aexit__(None, None, None)
    return found


def _cores() -> tuple[int | None, int | None]:
    """That of the servers and that of their callers, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)
