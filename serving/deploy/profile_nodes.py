"""Profile the zoo on the nodes that will serve: one Ray actor on each node's own resource.

Nodes on one host with the same device and thread count are one piece of hardware: it is measured
once, on the node with the largest batch, and each node's profile says where it was measured. The
profile of a node that emulates a device follows from that of its host. What was measured before,
and is kept (`profiling.cache`), is not measured again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ray

from cluster.errors import InputError
from cluster.provenance import collect_provenance
from cluster.providers.ray_names import placed_at
from cluster.topology import Node, Topology
from models.zoo.cards import ModelCard
from profiling.cache import MeasurementCache, origin_of
from profiling.emulation import emulate
from profiling.freshness import refuse_foreign
from profiling.interference import BusyRatio, Interference, NeighbourTimes, neighbours_busy
from profiling.measure import profile_of, sizes_up_to
from profiling.measured import Hardware, MeasuredModel, Origin
from profiling.null_profiles import refuse_null_nodes
from profiling.profile import ModelProfile, Profiles
from profiling.published import refuse_unpublished
from profiling.ratio_finder import RatioFinder
from profiling.sampling import SamplingRule
from profiling.verify import Drift, find_drift, pick_sample
from serving.deploy.profile_bench import ProfileBench, hardware_of
from serving.deploy.worker_environment import ENVIRONMENT

__all__ = ["profile_cluster", "verify_on_cluster"]

BESIDE = 4
"""the largest batch that is timed beside neighbours"""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
BUSY_S = 3600.0
"""a neighbour is ended long before"""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _Group:
    """Nodes that share a measurement; the first has the largest batch and is measured on."""

    topology: Topology
    nodes: tuple[Node, ...]
    beside: tuple[Node, ...]
    """all nodes with the same device of the same host, these among them"""
    hardware: Hardware
    versions: dict[str, str]

    @property
    def measured_on(self) -> Node:
        return self.nodes[0]

    @property
    def max_batches(self) -> tuple[int, ...]:
        return tuple(sorted({node.max_batch for node in self.nodes}))

    @property
    def sizes(self) -> tuple[int, ...]:
        return sizes_up_to(max(self.max_batches))

    @property
    def neighbour(self) -> Node | None:
        """Another node of the device, which can be busy while this one is measured."""
        others = [node for node in self.beside if node != self.measured_on]
        return others[0] if others else None


class _Benches:
    """The processes that measure a group, started when they are first asked for."""

    def __init__(
        self, group: _Group, cards: Sequence[ModelCard], *, with_neighbour: bool = False
    ) -> None:
        self._group = group
        self._cards = cards
        self._with_neighbour = with_neighbour
        self._started: list[Any] = []

    @cached_property
    def own(self) -> Any:
        """On the node that is measured. A neighbour starts meanwhile, which takes as long."""
        own = self._start(self._group.measured_on)
        waiting = [own.rehearse.remote()]
        if self._neighbour is not None:
            waiting.append(self._neighbour.rehearse.remote())
        ray.get(waiting)
        return own

    @property
    def neighbour(self) -> Any | None:
        """On another node of the device; None where there is none, or none was asked for."""
        assert self.own is not None
        return self._neighbour

    def close(self) -> None:
        """End the processes."""
        for bench in self._started:
            ray.kill(bench)

    @cached_property
    def _neighbour(self) -> Any | None:
        node = self._group.neighbour
        return self._start(node) if node is not None and self._with_neighbour else None

    def _start(self, node: Node) -> Any:
        allocating = {"env_vars": ENVIRONMENT}  # as the replicas that will serve it
        largest = max(*self._group.max_batches, *self._group.sizes)
        bench_of = ray.remote(runtime_env=allocating)(ProfileBench)
        bench = _on_node(bench_of, self._group.topology, node).remote(
            node, tuple(self._cards), largest
        )
        self._started.append(bench)
        return bench


def profile_cluster(
    topology: Topology,
    cards: Sequence[ModelCard],
    *,
    rule: SamplingRule | None = None,
    kept: Path | None = None,
    fresh: bool = False,
    on_progress: Progress = lambda done, total, what: None,
) -> Profiles:
    """Measure every model on all hardware of the connected cluster, one thing at a time.

    `kept` is the folder of earlier measurements, which are taken as they are unless `fresh` says
    to measure all anew; None keeps nothing. `on_progress(done, total, what)` is called before each
    measurement. Raises `InputError` for no model, for one that the host computes more slowly than a
    device that it emulates, for a device that nobody published, and for a null node.
    """
    refuse_unpublished(topology)
    if not cards:
        raise InputError("there is no model to profile; the zoo is empty")
    cache, rule = MeasurementCache(kept, fresh=fresh), rule or SamplingRule()
    groups = _group_by_hardware(topology)
    total = len(groups) * (len(cards) + 1)
    profiles: list[ModelProfile] = []
    measured: list[MeasuredModel] = []
    interference: list[Interference] = []
    for position, group in enumerate(groups):
        emulating = all(node.emulated for node in group.nodes)  # whose times nobody changes
        benches = _Benches(group, cards, with_neighbour=not emulating)
        ratios = _finder(benches, group)
        found: dict[str, MeasuredModel] = {}
        done = position * (len(cards) + 1)
        try:
            for index, card in enumerate(cards):
                origin = origin_of(
                    card, group.hardware, group.versions, group.sizes, group.max_batches, rule
                )
                entry = cache.find(origin)
                on_progress(done + index, total, _words(card, group, entry))
                if entry is None:
                    entry = ray.get(benches.own.measure.remote(card.name, origin, rule))
                    cache.keep(entry)
                entry = entry.model_copy(update={"measured_on": group.measured_on.name})
                found[card.name] = entry
                profiles += [_profile(entry, node, card, ratios) for node in group.nodes]
            on_progress(done + len(cards), total, f"neighbours of {group.measured_on.name}")
            if not emulating:
                interference.append(_interference(group, benches, found, cache))
        finally:
            benches.close()
        measured += found.values()
    on_progress(total, total, "done")
    return Profiles(
        topology=topology.name,
        profiles=tuple(profiles),
        measured=tuple(measured),
        interference=tuple(interference),
        provenance=collect_provenance("testbed profile", packages=("torch", "timm", "ray")),
    )


def verify_on_cluster(
    topology: Topology,
    cards: Sequence[ModelCard],
    profiles: Profiles,
    *,
    rule: SamplingRule | None = None,
    on_progress: Progress = lambda done, total, what: None,
) -> tuple[Drift, ...]:
    """Measure a sample of `profiles` again on the connected cluster, beside what it was then.

    Raises `InputError` where there is nothing to compare with, or it is of other hardware.
    """
    samples = pick_sample(profiles)
    groups = _group_by_hardware(topology)
    refuse_foreign(profiles, [group.hardware for group in groups])
    found: list[Drift] = []
    done = 0
    for group in groups:
        names = {node.name for node in group.nodes}
        of_group = [sample for sample in samples if sample.then.measured_on in names]
        wanted = {sample.then.model for sample in of_group}
        benches = _Benches(group, [card for card in cards if card.name in wanted])
        try:
            for sample in of_group:
                model = sample.then.model
                on_progress(done, len(samples), f"{model} on {group.measured_on.name}")
                again = benches.own.again.remote(model, sample.sizes, rule or SamplingRule())
                found += find_drift(sample, ray.get(again))
                done += 1
        finally:
            benches.close()
    return tuple(found)


def _words(card: ModelCard, group: _Group, kept: MeasuredModel | None) -> str:
    where = f"{card.name} on {group.measured_on.name}"
    return where if kept is None else f"{where}, as measured at {kept.taken_at}"


def _profile(
    measured: MeasuredModel, node: Node, card: ModelCard, ratios: RatioFinder
) -> ModelProfile:
    profile = profile_of(
        measured, node=node.name, measured_on=measured.measured_on, max_batch=node.max_batch
    )
    return emulate(profile, node, ratios.find(node, card)) if node.emulated else profile


def _interference(
    group: _Group,
    benches: _Benches,
    found: Mapping[str, MeasuredModel],
    cache: MeasurementCache,
) -> Interference:
    """What the quickest and the slowest model take beside each other, and beside another node
    that runs the slowest without a pause."""
    by_time = sorted(found.values(), key=lambda each: each.latency[0].p50_s)
    quick, slow = by_time[0], by_time[-1]
    origins: list[Origin] = [each.origin for each in (quick, slow) if each.origin is not None]
    words = [*(origin.key for origin in origins), "alone" if group.neighbour is None else "beside"]
    key = f"beside-{hashlib.sha256(' '.join(words).encode()).hexdigest()[:24]}"
    table = cache.read(key, Interference)
    if table is None:
        rows = _time_neighbours(benches, tuple(dict.fromkeys((quick.model, slow.model))), found)
        table = Interference(measured_on="", rows=rows, neighbours_busy={})
        cache.write(key, table)
    busy = neighbours_busy(group.beside)
    return table.model_copy(
        update={
            "measured_on": group.measured_on.name,
            "neighbours_busy": {node.name: busy[node.name] for node in group.nodes},
        }
    )


def _time_neighbours(
    benches: _Benches, models: tuple[str, ...], found: Mapping[str, MeasuredModel]
) -> tuple[BusyRatio, ...]:
    own, neighbour, slow = benches.own, benches.neighbour, models[-1]
    holding = [own.hold.remote(models)]
    if neighbour is not None:
        holding.append(neighbour.hold.remote((slow,)))
    ray.get(holding)
    rows: list[BusyRatio] = [
        ray.get(own.beside_model.remote(model, 1, other, 1))
        for model, other in zip(models, reversed(models), strict=True)
        if model != other
    ]
    if neighbour is None:
        return tuple(rows)
    cases = [
        (model, size)
        for model in models
        for size in dict.fromkeys((1, max(s for s in found[model].sizes if s <= BESIDE)))
    ]
    alone_s = {case: ray.get(own.after_pauses.remote(*case)) for case in cases}
    neighbour.stay_busy.remote(slow, 1, BUSY_S)
    for model, size in cases:
        beside_s = ray.get(own.after_pauses.remote(model, size))
        times = NeighbourTimes(alone_s=alone_s[model, size], beside_s=beside_s)
        rows.append(times.ratio(model, size, "node", slow))
    return tuple(rows)


def _finder(benches: _Benches, group: _Group) -> RatioFinder:
    """Finds how much slower than the hardware the devices are that its nodes emulate."""
    return RatioFinder(
        group.nodes,
        lambda card: ray.get(benches.own.class_of.remote(card)),
        lambda row: ray.get(benches.own.host_latency_s.remote(row)),
    )


def _group_by_hardware(topology: Topology) -> list[_Group]:
    refuse_null_nodes(topology)
    look = ray.remote(_look)
    seen = ray.get([_on_node(look, topology, node).remote(node) for node in topology.nodes])
    groups: dict[tuple[str, str, int], list[Node]] = {}
    beside: dict[tuple[str, str], list[Node]] = {}
    of: dict[tuple[str, str, int], tuple[Hardware, dict[str, str]]] = {}
    for node, (host, hardware, versions) in zip(topology.nodes, seen, strict=True):
        key = (host, node.host_device, node.threads)
        groups.setdefault(key, []).append(node)
        beside.setdefault(key[:2], []).append(node)
        of[key] = (hardware, versions)
    return [
        _Group(
            topology=topology,
            nodes=tuple(sorted(nodes, key=lambda node: -node.max_batch)),
            beside=tuple(beside[key[:2]]),
            hardware=of[key][0],
            versions=of[key][1],
        )
        for key, nodes in groups.items()
    ]


def _look(node: Node) -> tuple[str, Hardware, dict[str, str]]:
    """On which machine `node` is, and what computes there."""
    return _machine(), *hardware_of(node)


def _machine() -> str:
    """What tells the machines of a cluster apart: several Ray nodes may be on one."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:  # no Linux
        return str(ray.get_runtime_context().get_node_id())


def _on_node(remote: Any, topology: Topology, node: Node) -> Any:
    # Half a unit: a deployed replica holds the other half, and profiling may run beside it.
    return remote.options(num_cpus=0, **placed_at(topology, node.name, 0.4))
