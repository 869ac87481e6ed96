"""Profile the zoo on the nodes that will serve: one Ray actor on each node's own resource.

Nodes on one host with the same device and thread count are one piece of hardware: it is measured
once, on the node with the largest batch, and each node's profile says where it was measured. The
profile of a node that emulates a device follows from that of its host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from cluster.errors import InputError
from cluster.provenance import collect_provenance
from cluster.providers.local import resource_of
from cluster.topology import Node, Topology
from models.runtime.allocator import ENVIRONMENT
from models.zoo.cards import ModelCard
from profiling.emulation import emulate
from profiling.measure import BATCH_SIZES, ModelMeasurement, measure_model, profile_of
from profiling.profile import Profiles
from profiling.published import NetworkLatency, refuse_unpublished
from profiling.ratio_finder import RatioFinder

__all__ = ["profile_cluster"]

PROFILED_IMAGES = 32
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _Hardware:
    """Nodes that share a measurement; the first has the largest batch and is measured on."""

    nodes: tuple[Node, ...]


class _Bench:
    """The actor: loads one model at a time through the serving runtime and measures it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def measure(
        self, card: ModelCard, max_batches: Sequence[int], target_s: float
    ) -> ModelMeasurement:
        """Load, measure and drop one model."""
        from models.runtime.model_runtime import ModelRuntime

        node, size = self._node, card.preprocessing
        # The same arithmetic is done whatever a picture shows.
        noise = np.random.default_rng(0)
        images = noise.integers(0, 256, (PROFILED_IMAGES, size.height, size.width, 3), np.uint8)
        started_s = time.perf_counter()
        runtime = ModelRuntime.load(
            card, node.host_device, threads=node.threads, max_batch=max(*max_batches, *BATCH_SIZES)
        )
        load_s = time.perf_counter() - started_s
        try:
            return measure_model(
                runtime,
                images,
                model=card.name,
                device=node.host_device,
                max_batches=max_batches,
                load_s=load_s,
                target_s=target_s,
            )
        finally:
            runtime.close()

    def class_of(self, card: ModelCard) -> str:
        """Which networks with published times this one is like."""
        from models.zoo.assembly import load_network
        from profiling.reference import class_of

        return class_of(load_network(card))

    def host_latency_s(self, row: NetworkLatency, target_s: float) -> float:
        """What this host takes for a batch of a network with published times."""
        from profiling.reference import host_latency_s

        node = self._node
        return host_latency_s(row, node.host_device, node.threads, target_s=target_s)


def profile_cluster(
    topology: Topology,
    cards: Sequence[ModelCard],
    *,
    target_s: float = 0.4,
    on_progress: Progress = lambda done, total, what: None,
) -> Profiles:
    """Measure every model on all hardware of the connected cluster, one thing at a time.

    `on_progress(done, total, what)` is called before each measurement. Raises `InputError` for
    no model, for one that the host computes more slowly than a device that it emulates, and for a
    device that nobody published.
    """
    refuse_unpublished(topology)
    if not cards:
        raise InputError("there is no model to profile; the zoo is empty")
    groups = _group_by_hardware(topology)
    total = len(groups) * len(cards)
    found = []
    for position, hardware in enumerate(groups):
        measured_on = hardware.nodes[0]
        sizes = sorted({node.max_batch for node in hardware.nodes})
        allocating = {"env_vars": ENVIRONMENT}  # as the replicas that will serve it
        bench_of = ray.remote(runtime_env=allocating)(_Bench)
        bench = _on_node(bench_of, measured_on).remote(measured_on)
        ratios = _finder(bench, hardware, target_s)
        for index, card in enumerate(cards):
            done = position * len(cards) + index
            on_progress(done, total, f"{card.name} on {measured_on.name}")
            measured = ray.get(bench.measure.remote(card, sizes, target_s))
            for node in hardware.nodes:
                profile = profile_of(
                    measured,
                    node=node.name,
                    measured_on=measured_on.name,
                    max_batch=node.max_batch,
                )
                if node.emulated:
                    profile = emulate(profile, node, ratios.find(node, card))
                found.append(profile)
        ray.kill(bench)
    on_progress(total, total, "done")
    return Profiles(
        topology=topology.name,
        profiles=tuple(found),
        provenance=collect_provenance("testbed profile", packages=("torch", "timm", "ray")),
    )


def _finder(bench: Any, hardware: _Hardware, target_s: float) -> RatioFinder:
    """Finds how much slower than `hardware` the devices are that its nodes emulate."""
    return RatioFinder(
        hardware.nodes,
        lambda card: ray.get(bench.class_of.remote(card)),
        lambda row: ray.get(bench.host_latency_s.remote(row, target_s)),
    )


def _group_by_hardware(topology: Topology) -> list[_Hardware]:
    where = ray.remote(_host)
    hosts = ray.get([_on_node(where, node).remote() for node in topology.nodes])
    groups: dict[tuple[str, str, int], list[Node]] = {}
    for node, host in zip(topology.nodes, hosts, strict=True):
        groups.setdefault((host, node.host_device, node.threads), []).append(node)
    return [
        _Hardware(tuple(sorted(nodes, key=lambda node: -node.max_batch)))
        for nodes in groups.values()
    ]


def _host() -> str:
    return str(ray.get_runtime_context().get_node_id())


def _on_node(remote: Any, node: Node) -> Any:
    # Half a unit: a deployed replica holds the other half, and profiling may run beside it.
    return remote.options(num_cpus=0, resources={resource_of(node.name): 0.4})
