"""The dashboard and docs/metrics.md against what live nodes export.

A client and an edge serve real queries over real sockets, refuse some, change their models and
plan, and are scraped as Prometheus would. Whatever the dashboard asks for must be among that.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ByteSize

from cluster.topology import Link, Node, Tier
from serving.ingress.listen import open_doors
from serving.metrics.endpoint import METRICS_PATH, PageServer
from serving.metrics.node_metrics import NodeMetrics, Reading
from serving.metrics.targets import JOB
from serving.node.config import NodeConfig
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target
from support.looped import loop_metrics
from support.open_door import picture
from support.paths import ROOT

DASHBOARD = ROOT / "serving" / "metrics" / "dashboard.json"
PAGE = ROOT / "docs" / "metrics.md"
TASK, SIZE = "depth", 4
SHAPE = (SIZE, SIZE, 3)
BY_PROMETHEUS = {"job", "instance"}
"""labels that a scrape adds"""

Exported = dict[str, set[str]]
"""metric name -> its labels"""


class Model:
    """Depth is the red channel."""

    weights_bytes = 4

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return {TASK: images[..., 0].astype(np.float16)}

    def close(self) -> None:
        pass


def make_node(
    tier: Tier, above: NodeServer | None = None, port: int = 0
) -> tuple[NodeServer, NodeMetrics]:
    """A node called after its tier, and its metrics."""
    node = Node(name=tier, tier=tier, memory=ByteSize(1_000), compute=0.5, window_s=0.2)
    links = (Link(source=tier, target="edge", bandwidth=ByteSize(10**9)),) if above else ()

    async def find(_: str) -> tuple[str, int]:
        return "127.0.0.1", port

    metrics = NodeMetrics(node, {"client": 0.0, "edge": 10.0})
    server = NodeServer(
        NodeConfig(node, links, (TASK,), "token"),
        lambda _: Model(), lambda _: SHAPE, find, lambda _: (TASK,),
        observer=metrics,
    )  # fmt: skip

    def read() -> Reading:
        seen = server.snapshot()
        held_bytes = dict.fromkeys(seen.models, 10)
        return Reading(seen.waiting, held_bytes, seen.in_flight, seen.busy_s)

    metrics.watch(read)
    return server, metrics


async def scrape_both() -> str:
    edge, edge_metrics = make_node(Tier.EDGE)
    peer_port = await edge.start()
    client, client_metrics = make_node(Tier.CLIENT, edge, peer_port)
    await edge.load(("large",))
    await client.load(("small", "unwanted"))
    here, there = Target("client", "client", "small"), Target("edge", "edge", "large")
    client.route(RouteTable(1, {TASK: ((here, 0.4), (there, 0.4))}))
    await client.retire(1, frozenset({"small"}))
    client_metrics.on_spill(TASK, "link_full")
    client_metrics.on_detour(TASK, "peer_lost")
    pages = {METRICS_PATH: client_metrics.page}
    doors = await open_doors(
        client, lambda body, header: np.zeros(SHAPE, np.uint8), (SIZE, SIZE), pages=pages
    )
    page = PageServer(edge_metrics.page)
    await page.start()
    url = f"http://127.0.0.1:{doors.http_port}"
    async with httpx.AsyncClient() as caller:
        for _ in range(10):
            await caller.post(
                f"{url}/v2/models/{TASK}/infer",
                content=picture(),
                headers={"content-type": "image/png"},
            )
        scrapes = [await caller.get(url + METRICS_PATH)]
        scrapes.append(await caller.get(f"http://{page.address}{METRICS_PATH}"))
    await doors.close()
    await page.close()
    client.close()
    edge.close()
    assert all(scrape.status_code == 200 for scrape in scrapes)
    return "".join(scrape.text for scrape in scrapes)


@pytest.fixture(scope="module")
def exported() -> Exported:
    return exported_by(asyncio.run(scrape_both()))


def expressions(value: object) -> list[str]:
    """Every PromQL expression of the dashboard."""
    if isinstance(value, list):
        return [found for entry in value for found in expressions(entry)]
    if not isinstance(value, dict):
        return []
    own = [text for key, text in value.items() if key == "expr"]
    return own + [found for entry in value.values() for found in expressions(entry)]


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:testbed|process)_\w+", re.sub(r'"[^"]*"', "", expression)))


def labels_in(expression: str) -> set[str]:
    groups = re.findall(r"\b(?:by|on|ignoring|group_left|without) ?\(([^)]*)\)", expression)
    grouped = {label.strip() for group in groups for label in group.split(",")}
    matched = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    return (grouped | matched) - {""}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if "targets" in panel]


@pytest.fixture(scope="module")
def of_loop() -> Exported:
    return exported_by(loop_metrics().page()[1].decode())


def exported_by(text: str) -> Exported:
    found: Exported = defaultdict(set)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] |= sample.labels.keys()
    return found


def test_every_metric_of_the_dashboard_is_exported(exported: Exported, of_loop: Exported) -> None:
    found = expressions(json.loads(DASHBOARD.read_text()))
    assert len(found) > 20
    assert all(names_in(expression) for expression in found)
    named = set().union(*(names_in(expression) for expression in found))
    assert named <= exported.keys() | of_loop.keys()


def test_every_label_of_the_dashboard_is_one_of_its_metrics(
    exported: Exported, of_loop: Exported
) -> None:
    exported = {**exported, **of_loop}
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            known = set().union(*(exported[name] for name in names_in(expression))) | BY_PROMETHEUS
            shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert labels_in(expression) | shown <= known, panel["title"]


def test_the_nodes_to_choose_from_are_found_by_an_exported_label(exported: Exported) -> None:
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    (query,) = [variable["query"] for variable in variables if variable["type"] == "query"]
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
    assert found
    metric, label = found.groups()
    assert label in exported[metric]


def test_what_is_asked_of_a_job_is_asked_of_the_one_that_deploy_configures() -> None:
    text = DASHBOARD.read_text()
    assert set(re.findall(r'job=\\"(\w+)\\"', text)) == {JOB}


def test_panels_say_what_they_show_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["description"], panel["title"]
        box = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(box["x"], box["x"] + box["w"])
            for y in range(box["y"], box["y"] + box["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert max(x for x, _ in taken) < 24


def test_the_page_lists_exactly_the_metrics_there_are(
    exported: Exported, of_loop: Exported
) -> None:
    of_nodes, loop_section = PAGE.read_text().split("## Of the live loop")
    assert listed_in(of_nodes, {"node"}) == ours(exported)
    assert listed_in(loop_section, set()) == ours(of_loop)


def listed_in(text: str, always: set[str]) -> Exported:
    """The metrics of a table, all of which have the labels `always`."""
    rows = re.findall(r"^\| `(testbed_\w+)` \| (\w+) \|([^|]*)\|", text, re.MULTILINE)
    listed: Exported = {}
    for name, kind, labels in rows:
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
        own = {label.strip() for label in labels.split(",")} - {""} | always
        for suffix in suffixes.get(kind, ("",)):
            listed[name + suffix] = own | ({"le"} if suffix == "_bucket" else set())
    return listed


def ours(found: Exported) -> Exported:
    """Without what the library adds."""
    return {
        name: labels
        for name, labels in found.items()
        if name.startswith("testbed_") and not name.endswith("_created")
    }
