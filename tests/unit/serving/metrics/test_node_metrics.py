"""What a node's metrics say after events of every kind, read as Prometheus reads them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ByteSize

from cluster.topology import Node, Tier
from serving.metrics.node_metrics import NodeMetrics, Reading
from serving.node.device.device_watch import DeviceHealth
from serving.routing.routes import RouteTable, Target

HERE = Target("client", "c", "small")
ABOVE = Target("edge", "e", "large")


@pytest.fixture
def metrics() -> NodeMetrics:
    node = Node(name="c", tier=Tier.CLIENT, memory=ByteSize(1_000), compute=0.5, window_s=0.2)
    return NodeMetrics(node, {"c": 0.4, "e": 0.5})


def scrape(metrics: NodeMetrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    kind, body = metrics.page()
    assert kind.startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def value(metrics: NodeMetrics, name: str, **labels: str) -> float:
    return scrape(metrics)[f"testbed_{name}", frozenset({"node": "c", **labels}.items())]


def test_a_batch_is_counted_once_and_its_queries_one_by_one(metrics: NodeMetrics) -> None:
    metrics.on_batch("small", 3, "full", [0.01, 0.02, 0.03], 0.004, 0.05)
    metrics.on_batch("small", 1, "free", [0.0], 0.0, 0.01)
    assert value(metrics, "batches_total", model="small", release="full") == 1
    assert value(metrics, "batch_size_sum", model="small") == 4
    assert value(metrics, "batch_size_count", model="small") == 2
    assert value(metrics, "queue_seconds_count", model="small") == 4
    assert value(metrics, "queue_seconds_sum", model="small") == pytest.approx(0.06)
    assert value(metrics, "batch_wait_seconds_sum", model="small") == pytest.approx(0.004)
    assert value(metrics, "compute_seconds_sum", model="small") == pytest.approx(0.06)


def test_answers_are_counted_by_the_way_they_took_and_late_ones_beside(
    metrics: NodeMetrics,
) -> None:
    metrics.on_answer("depth", HERE, 0.1, 0.0)
    assert value(metrics, "late_answers_total", task="depth") == 0
    metrics.on_answer("depth", HERE, 0.41, 0.0)
    metrics.on_answer("depth", ABOVE, 0.45, 0.1)
    way = {"task": "depth", "tier": "client", "served_by": "c", "model": "small"}
    assert value(metrics, "answer_seconds_count", **way) == 2
    way = {"task": "depth", "tier": "edge", "served_by": "e", "model": "large"}
    assert value(metrics, "answer_seconds_count", **way) == 1
    assert value(metrics, "late_answers_total", task="depth") == 1


def test_refusals_links_loads_and_unloads(metrics: NodeMetrics) -> None:
    metrics.on_refusal("depth", "overloaded")
    metrics.on_refusal("depth", "overloaded")
    metrics.on_link("e", 0.02, 1_000)
    metrics.on_link("e", 0.03, 500)
    metrics.on_load("small", 1.5)
    metrics.on_unload("small", 0.25)
    assert value(metrics, "refusals_total", task="depth", reason="overloaded") == 2
    assert value(metrics, "link_bytes_total", target="e") == 1_500
    assert value(metrics, "link_seconds_count", target="e") == 2
    assert value(metrics, "model_load_seconds_sum", model="small") == 1.5
    assert value(metrics, "model_unload_seconds_count", model="small") == 1


def test_a_new_plan_replaces_the_shares_of_the_old_one(metrics: NodeMetrics) -> None:
    assert value(metrics, "plan_version") == 0
    metrics.on_plan(RouteTable(3, {"depth": ((HERE, 0.25), (ABOVE, 0.75))}))
    metrics.on_plan(RouteTable(4, {"depth": ((ABOVE, 1.0),)}))
    assert value(metrics, "plan_version") == 4
    shares = [key for key in scrape(metrics) if key[0] == "testbed_planned_share"]
    assert len(shares) == 1
    way = {"task": "depth", "tier": "edge", "served_by": "e", "model": "large"}
    assert value(metrics, "planned_share", **way) == 1.0


def test_a_scrape_reads_the_node_as_it_is_then(metrics: NodeMetrics) -> None:
    now = Reading({"small": 2}, {"small": 700}, 5, 1.25)
    metrics.watch(lambda: now)
    assert value(metrics, "queue_length", model="small") == 2
    now = Reading({"small": 0}, {"small": 700}, 1, 2.5)
    assert value(metrics, "queue_length", model="small") == 0
    assert value(metrics, "resident_bytes", model="small") == 700
    assert value(metrics, "in_flight") == 1
    assert value(metrics, "device_busy_seconds_total") == 2.5
    assert value(metrics, "memory_budget_bytes") == 1_000
    assert value(metrics, "compute_budget") == 0.5
    assert value(metrics, "window_seconds") == 0.2


def test_a_device_that_breaks_is_seen_and_counted_until_it_answers_again(
    metrics: NodeMetrics,
) -> None:
    assert value(metrics, "device_healthy") == 1
    assert value(metrics, "device_faults_total", fault="hung") == 0
    metrics.on_device(DeviceHealth.HUNG)
    assert value(metrics, "device_healthy") == 0
    metrics.on_device(DeviceHealth.WELL)
    assert value(metrics, "device_healthy") == 1
    assert value(metrics, "device_faults_total", fault="hung") == 1
    assert value(metrics, "device_faults_total", fault="dead") == 0


def test_nodes_of_one_process_do_not_mix(metrics: NodeMetrics) -> None:
    other = NodeMetrics(Node(name="d", tier=Tier.CLIENT, memory=ByteSize(1), compute=1, window_s=1))
    other.on_refusal("depth", "shed")
    assert not [key for key in scrape(metrics) if key[0] == "testbed_refusals_total"]
