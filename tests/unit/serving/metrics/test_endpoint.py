"""The page of a node without a door, over a socket, and the files that lead Prometheus there."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import httpx
import yaml

from serving.metrics.endpoint import METRICS_PATH, PageServer
from serving.metrics.targets import ScrapeTarget, write_prometheus


def test_a_node_without_a_door_answers_scrapes_and_nothing_else() -> None:
    async def main() -> tuple[httpx.Response, httpx.Response]:
        server = PageServer(lambda: ("text/plain; version=0.0.4", b"testbed_up 1\n"))
        await server.start()
        async with httpx.AsyncClient(base_url=f"http://{server.address}") as client:
            found = await client.get(METRICS_PATH)
            lost = await client.get("/")
        await server.close()
        return found, lost

    found, lost = asyncio.run(main())
    assert (found.status_code, found.text) == (200, "testbed_up 1\n")
    assert found.headers["content-type"].startswith("text/plain")
    assert lost.status_code == 404


def test_prometheus_finds_every_node_through_the_files_that_deploy_writes(tmp_path: Path) -> None:
    nodes = {
        "client-0": ScrapeTarget("127.0.0.1:1", "client"),
        "edge-0": ScrapeTarget("127.0.0.1:2", "edge"),
    }
    path = write_prometheus(tmp_path / "prometheus", nodes)
    (job,) = yaml.safe_load(path.read_text())["scrape_configs"]
    assert job["metrics_path"] == METRICS_PATH
    assert "authorization" not in job
    (file,) = job["file_sd_configs"][0]["files"]
    groups = json.loads((path.parent / file).read_text())
    assert [group["targets"] for group in groups] == [["127.0.0.1:1"], ["127.0.0.1:2"]]


def test_a_doors_token_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = write_prometheus(tmp_path, {}, token="s3cret-of-the-door")
    (job,) = yaml.safe_load(path.read_text())["scrape_configs"]
    secret = tmp_path / job["authorization"]["credentials_file"]
    assert secret.read_text() == "s3cret-of-the-door"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert "s3cret" not in path.read_text()
