"""A node's process is killed under traffic: every query still ends, and the node comes back."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from typing import Any

import psutil
import pytest

from cluster.demand import Phase
from cluster.environment import MARK
from models.benchmarks.rooms import Rooms
from serving.system import Outcome
from serving.traffic.driver import Record, drive
from serving.traffic.images import load_images
from serving.traffic.live_system import HttpSystem
from serving.traffic.schedule import build_schedule
from support.testbed_process import Testbed

# `make drills` runs it; test_timeline kills a node under traffic, too.
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.mark.parametrize("victim", ["edge-0", "cloud"])
def test_a_killed_node_costs_no_error_and_rejoins_with_its_plan(
    walked: Testbed, victim: str
) -> None:
    deployed = walked.run("deploy")
    assert deployed.returncode == 0, deployed.stderr
    before = walked.nodes()
    urls = {name: node["url"] for name, node in before.items() if node["url"]}
    clients = {name: {"depth": 2.0, "segmentation": 2.0} for name in urls}
    schedule = build_schedule([Phase(duration_s=10.0, rates_qps=clients)], 4, 4)
    bodies = load_images([Rooms("test")], 4).bodies

    async def scenario() -> list[Record]:
        async with HttpSystem(urls) as system:
            driving = asyncio.ensure_future(drive(system, schedule, bodies))
            await asyncio.sleep(3)
            os.kill(walked.replica(victim).pid, signal.SIGKILL)
            return await driving

    records = asyncio.run(scenario())
    assert len(records) == len(schedule)
    errors = [r.answer.reason for r in records if r.answer.outcome is Outcome.ERROR]
    assert errors == []
    assert sum(r.answer.outcome is Outcome.ANSWERED for r in records) > len(records) / 2

    deadline_s = time.monotonic() + 60
    after = walked.nodes()
    while not after[victim]["models"] and time.monotonic() < deadline_s:
        time.sleep(1)
        after = walked.nodes()
    assert set(after[victim]["models"]) == set(before[victim]["models"])
    assert after[victim]["plan_version"] == before[victim]["plan_version"]
    check_logs(walked, victim, after[victim]["plan_version"])


def check_logs(walked: Testbed, victim: str, version: int) -> None:
    """What the victim said before it was killed and since, and those who lost it."""

    def lines(*arguments: str) -> list[dict[str, Any]]:
        done = walked.run("logs", *arguments, "-n", "0", "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)["lines"]
        return found

    own = [line["text"] for line in lines(victim)]
    runs = [index for index, text in enumerate(own) if text.startswith("the node runs: process ")]
    assert len(runs) >= 2
    models = walked.nodes()[victim]["models"]
    assert any(
        text.startswith(f"the node was started anew; it takes up plan version {version} with ")
        for text in own[runs[-2] : runs[-1]]
    )
    assert all(any(text.startswith(f"loaded {name}: ") for text in own) for name in models)
    below = [line for line in lines("--level", "warning") if line["node"] != victim]
    assert any(line["text"].startswith(f"lost the link to {victim}: ") for line in below)
    driver = [line["text"] for line in lines("driver")]
    assert any(text.startswith(f"plan version {version} of ") for text in driver)
    every = lines()
    assert [line["at_s"] for line in every] == sorted(line["at_s"] for line in every)
    assert {line["node"] for line in every} == {*walked.nodes(), "driver"}


def test_a_head_that_stands_still_ends_each_verb_in_time_with_one_line(walked: Testbed) -> None:
    mark = json.loads((walked.folder / "state" / "cluster.json").read_text())["mark"]
    (gcs,) = [
        process
        for process in psutil.process_iter(["name", "environ"])
        if process.info["name"] == "gcs_server"
        and (process.info["environ"] or {}).get(MARK) == mark
    ]
    gcs.suspend()
    try:
        begun_s = time.monotonic()
        for verb in ("status", "deploy"):
            stopped = walked.run(verb, timeout_s=120)
            assert stopped.returncode == 1
            (line,) = [x for x in stopped.stderr.splitlines() if x.startswith("testbed: ")]
            assert "gave no answer in 30 s; `testbed down`" in line
        assert time.monotonic() - begun_s < 120
    finally:
        gcs.resume()
    assert walked.run("status").returncode == 0
