"""Counts of one node in Prometheus form: what its observer hears, and what it reads at a scrape.

Most of it is counted once a batch. A query that arrives at a client costs one counter or one
histogram; queue length, memory and the like are read only when somebody scrapes. docs/metrics.md
says what each metric means. To be called and scraped on the node's event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    Info,
    ProcessCollector,
    Summary,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cluster.topology import Node
from serving.logs.file import LogFile
from serving.metrics.tallies import TallyCounter, TallyHistogram
from serving.node.device.device_watch import DeviceHealth
from serving.routing.routes import RouteTable, Target

__all__ = ["NodeMetrics", "Reading"]

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10.0)
ROUTE = ("node", "task", "tier", "served_by", "model")


@dataclass(frozen=True)
class Reading:
    """What is read of a node at a scrape."""

    waiting: Mapping[str, int]
    """queries queued, by model"""
    resident_bytes: Mapping[str, int]
    """held by each loaded model"""
    in_flight: int
    """queries that arrived here and are not answered yet"""
    busy_s: float
    """seconds the device has worked since the node started"""
    late_batches: int = 0
    """batches that came later than from the device that is emulated"""


class NodeMetrics:
    """The observer (`serving.node.observer`) of the node called `node.name`.

    Holds a registry of its own, so several nodes of one process do not mix. `bounds_s` is the
    promised latency of an answer by the node that serves it; without one no answer is late.
    """

    def __init__(self, node: Node, bounds_s: Mapping[str, float] | None = None) -> None:
        self._node = node.name
        self._bounds_s = bounds_s or {}
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        # Before all counters: a reading has the node settle what it has not told yet.
        self._scraped = _Scraped(node.name)
        self.registry.register(self._scraped)
        self._about(node)
        self._batches = self._counter("batches", "Batches run.", "model", "release")
        self._size = self._histogram("batch_size", "Images in a batch.", SIZES, "model")
        self._queue = self._histogram(
            "queue_seconds", "A query's wait until its batch closed.", SECONDS, "model"
        )
        self._wait = self._histogram(
            "batch_wait_seconds", "A closed batch's wait for the device.", SECONDS, "model"
        )
        self._compute = self._histogram(
            "compute_seconds", "A batch's time on the device.", SECONDS, "model"
        )
        self._answer = self._histogram(
            "answer_seconds", "From a query's arrival at a client to its answer.",
            SECONDS, *ROUTE[1:],
        )  # fmt: skip
        self._late = self._counter("late_answers", "Answers after their promised bound.", "task")
        self._refusals = self._counter("refusals", "Queries refused.", "task", "reason")
        self._spills = self._counter(
            "spills", "Queries answered on another way, since their plan's was full.",
            "task", "reason",
        )  # fmt: skip
        self._detours = self._counter(
            "detours", "Queries answered on another way, since their plan's failed.",
            "task", "reason",
        )  # fmt: skip
        self._link = self._histogram("link_seconds", "An image's way up a link.", SECONDS, "target")
        self._link_bytes = self._counter("link_bytes", "Bytes sent up a link.", "target")
        self._loads = self._summary("model_load_seconds", "Loads of a model.", "model")
        self._unloads = self._summary("model_unload_seconds", "Unloads of a model.", "model")
        self._healthy = self._gauge(
            "device_healthy", "1 while the device answers; 0 once it fails, hangs or is gone."
        )
        self._healthy.labels(self._node).set(1)
        self._faults = self._counter("device_faults", "Times the device broke.", "fault")
        for health in DeviceHealth:
            if health is not DeviceHealth.WELL:
                self._faults.add((node.name, health), 0)
        self._plan = self._gauge("plan_version", "Version of the plan in force.")
        self._plan.labels(self._node).set(0)
        self._share = self._gauge(
            "planned_share", "Share of a task's queries that the plan sends a way.", *ROUTE[1:]
        )

    def page(self) -> tuple[str, bytes]:
        """Content type and body of what a scrape gets."""
        return CONTENT_TYPE_LATEST, generate_latest(self.registry)

    def watch(self, read: Callable[[], Reading]) -> None:
        """Call `read` at every scrape. To be called once, when the node is there to be read."""
        self._scraped.read = read

    def on_batch(
        self,
        model: str,
        size: int,
        release: str,
        queue_s: Sequence[float],
        batch_wait_s: float,
        compute_s: float,
    ) -> None:
        """See `NodeObserver`."""
        labels = (self._node, model)
        self._batches.add((*labels, release))
        self._size.of(labels).add(size)
        queue = self._queue.of(labels)
        for waited_s in queue_s:
            queue.add(waited_s)
        self._wait.of(labels).add(batch_wait_s)
        self._compute.of(labels).add(compute_s)

    def on_answer(self, task: str, target: Target, spent_s: float, link_s: float) -> None:
        """See `NodeObserver`."""
        node = self._node
        self._answer.of((node, task, target.tier, target.node, target.model)).add(spent_s)
        # Shown from the start: a rate needs a zero.
        self._late.add((node, task), spent_s > self._bounds_s.get(target.node, inf))

    def on_refusal(self, task: str, reason: str, times: int = 1) -> None:
        """See `NodeObserver`."""
        self._refusals.add((self._node, task, reason), times)

    def on_spill(self, task: str, reason: str) -> None:
        """See `NodeObserver`."""
        self._spills.add((self._node, task, reason), 1)

    def on_detour(self, task: str, reason: str) -> None:
        """See `NodeObserver`."""
        self._detours.add((self._node, task, reason), 1)

    def on_load(self, model: str, spent_s: float) -> None:
        """See `NodeObserver`."""
        self._loads.labels(self._node, model).observe(spent_s)

    def on_unload(self, model: str, spent_s: float) -> None:
        """See `NodeObserver`."""
        self._unloads.labels(self._node, model).observe(spent_s)

    def on_device(self, health: DeviceHealth) -> None:
        """See `NodeObserver`."""
        well = health is DeviceHealth.WELL
        self._healthy.labels(self._node).set(well)
        if not well:
            self._faults.add((self._node, health))

    def on_link(self, target: str, spent_s: float, size_bytes: int) -> None:
        """See `NodeObserver`."""
        self._link.of((self._node, target)).add(spent_s)
        self._link_bytes.add((self._node, target), size_bytes)

    def on_plan(self, table: RouteTable) -> None:
        """See `NodeObserver`."""
        self._plan.labels(self._node).set(table.version)
        self._share.clear()
        for task, targets in table.routes.items():
            for target, share in targets:  # to the cloud there may be several ways
                way = (target.tier, target.node, target.model)
                self._share.labels(self._node, task, *way).inc(share)

    def _about(self, node: Node) -> None:
        info = Info("testbed_node", "The node.", ["node"], registry=self.registry)
        about = {"tier": str(node.tier), "device": str(node.device), "batching": str(node.batching)}
        info.labels(node.name).info(about)
        for name, documentation, value in (
            ("memory_budget_bytes", "Budget of resident models.", float(node.memory)),
            ("compute_budget", "Busy seconds a second that a plan may use.", node.compute),
            ("window_seconds", "T_b; an answer is promised within twice that.", node.window_s),
        ):
            self._gauge(name, documentation).labels(node.name).set(value)

    def _counter(self, name: str, documentation: str, *labels: str) -> TallyCounter:
        counter = TallyCounter(f"testbed_{name}", documentation, ("node", *labels))
        self.registry.register(counter)
        return counter

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"testbed_{name}", documentation, ["node", *labels], registry=self.registry)

    def _summary(self, name: str, documentation: str, *labels: str) -> Summary:
        return Summary(f"testbed_{name}", documentation, ["node", *labels], registry=self.registry)

    def _histogram(
        self, name: str, documentation: str, buckets: Sequence[float], *labels: str
    ) -> TallyHistogram:
        histogram = TallyHistogram(f"testbed_{name}", documentation, buckets, ("node", *labels))
        self.registry.register(histogram)
        return histogram


class _Scraped(Collector):
    """A node's reading as metrics."""

    def __init__(self, node: str) -> None:
        self._node = node
        self.read: Callable[[], Reading] | None = None

    def collect(self) -> Iterable[Metric]:
        """Prometheus: what the node says now; nothing before it is there."""
        if self.read is None:
            return
        now = self.read()
        yield self._by_model("queue_length", "Queries that wait for a batch.", now.waiting)
        yield self._by_model("resident_bytes", "Bytes that a model holds.", now.resident_bytes)
        in_flight = GaugeMetricFamily(
            "testbed_in_flight",
            "Queries that arrived here and wait for their answer.",
            None,
            ["node"],
        )
        in_flight.add_metric([self._node], now.in_flight)
        yield in_flight
        busy = CounterMetricFamily(
            "testbed_device_busy_seconds", "Seconds that the device has worked.", None, ["node"]
        )
        busy.add_metric([self._node], now.busy_s)
        yield busy
        late = CounterMetricFamily(
            "testbed_late_batches",
            "Batches that came later than from the emulated device.",
            None,
            ["node"],
        )
        late.add_metric([self._node], now.late_batches)
        yield late
        lost = CounterMetricFamily(
            "testbed_lost_log_lines", "Lines that no log file could take.", None, ["node"]
        )
        lost.add_metric([self._node], LogFile.lost)
        yield lost

    def _by_model(
        self, name: str, documentation: str, values: Mapping[str, int]
    ) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"testbed_{name}", documentation, None, ["node", "model"])
        for model, value in values.items():
            family.add_metric([self._node, model], value)
        return family
