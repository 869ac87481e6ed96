"""Profiles of null nodes, from published times alone: nothing is measured for them.

A model takes what the published networks of its device take, whatever the model is: of each batch
size the geometric mean over them, of sizes between them the line, beyond the last as much for each
picture as there. So these are times of the device for networks of that kind, not of the zoo's. What
a model holds are its parameters in float32; it takes no time to load.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cluster.devices import EmulatedDevice
from cluster.errors import InputError
from cluster.provenance import collect_provenance
from cluster.topology import Node, Topology
from models.zoo.cards import ModelCard
from profiling.fit import with_latency
from profiling.profile import BatchLatency, Emulation, ModelProfile, Profiles
from profiling.published import PublishedDevice, find_device

__all__ = ["null_profiles", "refuse_null_nodes"]

OWN_CLASS = "depthwise"
"""of the zoo's networks"""
PARAMETER_BYTES = 4


def null_profiles(topology: Topology, cards: Sequence[ModelCard], command: str) -> Profiles:
    """Of each model on each node of `topology`, which are all null nodes. Raises `UnknownNameError`
    for a device that nobody published."""
    found = []
    for node in topology.nodes:
        device = node.emulated
        assert device is not None
        assert isinstance(device.emulate, str)
        published = find_device(device.emulate)
        found += [_profile(card, node, device, published) for card in cards]
    provenance = collect_provenance(command)
    return Profiles(topology=topology.name, profiles=tuple(found), provenance=provenance)


def refuse_null_nodes(topology: Topology) -> None:
    """Raise `InputError` for a node of `topology` on which nothing can be measured."""
    for node in topology.nodes:
        if node.is_null:
            raise InputError(
                f"{node.name} computes nothing (`on: none`), so nothing can be measured there; "
                "`testbed scale` takes the times of null nodes from published ones"
            )


def _profile(
    card: ModelCard, node: Node, device: EmulatedDevice, published: PublishedDevice
) -> ModelProfile:
    name = OWN_CLASS if OWN_CLASS in published.classes else next(iter(published.classes))
    sizes = sorted({1, 2, node.max_batch, *published.batches(name)})
    known = {size: _mean_s(published, name, size) for size in published.batches(name)}
    latency = []
    for size in sizes:
        batch_s = _batch_s(known, size)
        latency.append(BatchLatency(batch=size, p50_s=batch_s, p95_s=batch_s, runs=1))
    emulated = Emulation(
        device=device, host_latency=(), source=f"published times of {name} networks on it"
    )
    alone = ModelProfile(
        model=card.name, node=node.name, measured_on=node.name, latency=tuple(latency),
        setup_s=0.0, marginal_s=0.0, residual=0.0, load_s=0.0, emulated=emulated,
        weights_bytes=PARAMETER_BYTES * card.parameters, workspace_bytes=0,
    )  # fmt: skip
    return with_latency(alone, alone.latency)


def _mean_s(published: PublishedDevice, network_class: str, batch: int) -> float:
    rows = [row for row in published.classes[network_class] if row.batch == batch]
    return float(np.exp(np.mean([np.log(row.latency_s) for row in rows])))


def _batch_s(known: dict[int, float], size: int) -> float:
    last = max(known)
    if size > last:
        return known[last] * size / last
    sizes = sorted(known)
    return float(np.interp(size, sizes, [known[each] for each in sizes]))
