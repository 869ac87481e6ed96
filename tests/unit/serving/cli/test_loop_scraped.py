"""The live loop's page for Prometheus: there while the loop runs, and among the targets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from serving.cli.console import VerbOutput
from serving.cli.loop_scraped import LOOP, scraped
from serving.metrics.targets import ScrapeTarget
from support.looped import loop_metrics

pytestmark = pytest.mark.real_time
NODES = {"edge-0": ScrapeTarget("127.0.0.1:9", "edge")}


def targets(folder: Path) -> dict[str, str]:
    groups = json.loads((folder / "targets.json").read_text())
    return {group["labels"]["testbed_node"]: group["targets"][0] for group in groups}


def test_the_page_is_there_while_the_loop_runs(tmp_path: Path) -> None:
    told: list[str] = []

    async def loop() -> None:
        address = targets(tmp_path)[LOOP]
        async with httpx.AsyncClient() as caller:
            told.append((await caller.get(f"http://{address}/metrics")).text)

    metrics = loop_metrics()
    asyncio.run(scraped(VerbOutput(True), loop, metrics, tmp_path, NODES, None)())  # type: ignore[arg-type]
    assert 'testbed_decisions_total{cause="the load has changed",outcome="changed"} 1.0' in told[0]
    assert targets(tmp_path) == {"edge-0": "127.0.0.1:9"}


def test_targets_go_back_when_the_loop_fails(tmp_path: Path) -> None:
    async def loop() -> None:
        raise RuntimeError("no node answers")

    with pytest.raises(RuntimeError, match="no node answers"):
        asyncio.run(scraped(VerbOutput(True), loop, loop_metrics(), tmp_path, NODES, None)())  # type: ignore[arg-type]
    assert targets(tmp_path) == {"edge-0": "127.0.0.1:9"}


def test_a_folder_that_cannot_be_written_does_not_cost_the_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[bool] = []

    async def loop() -> None:
        ran.append(True)

    (tmp_path / "taken").write_text("")
    folder = tmp_path / "taken"
    asyncio.run(scraped(VerbOutput(True), loop, loop_metrics(), folder, NODES, None)())  # type: ignore[arg-type]
    assert ran == [True]
    assert "the targets for Prometheus are not written" in capsys.readouterr().err
