"""A client that reaches two edges, on a real cluster: planned, served, and one of them killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.demand import Phase
from models.benchmarks.rooms import Rooms
from planner.plan import Plan
from serving.system import Answer, Outcome
from serving.traffic.driver import Record, drive
from serving.traffic.images import load_images
from serving.traffic.live_system import HttpSystem
from serving.traffic.schedule import build_schedule
from support.paths import ROOT
from support.testbed_process import Testbed

# A cluster of its own takes two minutes: `make drills` runs it.
pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MODELS = ("rooms-small-depth", "rooms-small-normals", "rooms-middle-geometry", "rooms-large-all")
SPECS = ROOT / "cluster" / "specs"
DEMAND = str(SPECS / "two-edges-demand.yaml")


def test_a_client_of_two_edges_is_served_by_both_and_by_one_when_the_other_dies(
    tmp_path: Path,
) -> None:
    bench = Testbed(tmp_path)

    def run(*arguments: str) -> dict[str, Any]:
        done = bench.run(*arguments, "--json")
        assert done.returncode == 0, f"{arguments}\n{done.stderr}"
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    try:
        run("up", str(SPECS / "two-edges.yaml"))
        run("profile", *(word for model in MODELS for word in ("--model", model)))
        run("plan", "--demand", DEMAND, "--policy", "certified")
        run("deploy", "--demand", DEMAND)
        plan = Plan.load(bench.file("plan.json"))
        taken: dict[str, float] = defaultdict(float)
        for route in plan.routes:
            if route.client == "client-0" and route.tier != "client":
                taken[route.via or route.node] += route.share
        assert min(taken["edge-0"], taken["edge-1"]) > 0.2  # of two tasks; one link takes 3.8 q/s
        run("drive", "--duration", "4", "--demand", DEMAND)
        run("report")

        urls = {name: node["url"] for name, node in bench.nodes().items() if node["url"]}
        before = run_traffic(urls)
        assert {"edge-0", "edge-1"} <= {answer.node for answer in before}
        assert {answer.outcome for answer in before} <= {Outcome.ANSWERED, Outcome.SHED}
        victim = bench.replica("edge-1").pid
        after = run_traffic(urls, 1.0, lambda: os.kill(victim, signal.SIGKILL))
        assert {answer.outcome for answer in after} <= {Outcome.ANSWERED, Outcome.SHED}
        answered = [answer for answer in after if answer.outcome is Outcome.ANSWERED]
        assert len(answered) > len(after) / 2
        assert "edge-0" in {answer.node for answer in answered[len(answered) // 2 :]}
    finally:
        ended = bench.run("down", timeout_s=60)
    assert ended.returncode == 0, ended.stderr
    assert bench.processes() == []


def run_traffic(
    urls: dict[str, str], after_s: float = 0.0, act: Callable[[], None] = lambda: None
) -> list[Answer]:
    """Answers to six seconds of queries of client-0; `act` is called `after_s` after they begin."""
    rates = {"client-0": {"depth": 3.0, "normals": 3.0}}
    schedule = build_schedule([Phase(duration_s=6.0, rates_qps=rates)], 4, 4)
    bodies = load_images([Rooms("test")], 4).bodies

    async def scenario() -> list[Record]:
        async with HttpSystem(urls) as system:
            driving = asyncio.ensure_future(drive(system, schedule, bodies))
            await asyncio.sleep(after_s)
            act()
            return await driving

    return [record.answer for record in asyncio.run(scenario())]
