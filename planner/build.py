"""From what was measured to a problem: topology, cards, profiles and one phase of demand."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from cluster.deadline_classes import base_task, has_class
from cluster.demand import Phase
from cluster.topology import Node, Topology
from models.zoo.cards import ModelCard
from planner.deadline_classes import split_by_class
from planner.onloading import greedy_cover
from planner.problem import FloatArray, Problem, ProblemError
from profiling.profile import Profiles

__all__ = ["build_problem"]

ON_LINE = 1e-9
"""A measured time that differs from nu + c b by less, relative to it, lies on the line."""


def build_problem(
    topology: Topology,
    cards: Sequence[ModelCard],
    profiles: Profiles,
    phase: Phase,
    *,
    query_bytes: Mapping[str, float],
    answer_bytes: Mapping[str, float],
    deadline_s: Mapping[str, float] | None = None,
) -> Problem:
    """The problem of `phase` on `topology` with the models of `cards` as `profiles` measured them.

    Tasks are those of `query_bytes` (bytes of one query going up), in its order. A model without
    a profile on a node cannot run there. The cloud serves each task with its most accurate model
    (the cheapest of equals) that its memory holds. Edges have their measured times by batch size
    beside nu and c (F15), unless those lie on the line or images are asked several tasks (F14).
    `deadline_s` are deadlines of tasks (F13) and of classes of tasks (TASK@CLASS, F20), which are
    tasks of their own behind theirs; none where left out. Raises `ProblemError` for an unknown
    client, task or class in the demand, a task without answer size, or profiles of another
    topology.
    """
    if profiles.topology != topology.name:
        raise ProblemError(
            f"profiles.topology: measured for {profiles.topology!r}, not {topology.name!r}"
        )
    tasks = tuple(query_bytes)
    deadline_s = deadline_s or {}
    classes = [name for name in deadline_s if has_class(name)]
    for task in tasks:
        _known(task, answer_bytes, "answer_bytes")
        if has_class(task):
            raise ProblemError(f"query_bytes.{task}: '@' in a name stands before a class of a task")
    clients, edges, cloud = topology.clients, topology.edges, topology.cloud
    for name in deadline_s:
        _known(base_task(name), tasks, "deadlines_s")
    names = [node.name for node in clients]
    load_of = _loads(phase, names, (*tasks, *classes))
    bundle_bt, bundle_load_cb = _bundles(phase, names, tasks)
    load_ct = np.zeros((len(names), len(tasks)))
    for name, load_c in load_of.items():
        load_ct[:, tasks.index(base_task(name))] += load_c
    for client in phase.dispersion:
        _known(client, names, "dispersion")
    accuracy_mt = np.array([[card.accuracy(task) for task in tasks] for card in cards])
    position = {node.name: e for e, node in enumerate(edges)}
    reach = [topology.uplinks(node.name) for node in clients]
    client_tables = [_costs_alone(node, cards, profiles) for node in clients]
    edge_tables = [_costs(node, cards, profiles) for node in edges]
    curve_sizes_z, edge_curve_emz = _curves(edges, cards, profiles)
    if len(bundle_bt):  # whose batches are planned by nu + c b
        curve_sizes_z, edge_curve_emz = np.zeros(0), edge_curve_emz[:, :, :0]
    bytes_m, setup_m, marginal_m = _costs_alone(cloud, cards, profiles)
    held_m = _cloud_models(
        accuracy_mt, load_ct.sum(axis=0), bytes_m, setup_m + marginal_m, float(cloud.memory)
    )
    cloud_model_t = _serving_models(accuracy_mt, setup_m + marginal_m, held_m)
    serves_t = cloud_model_t >= 0
    T = np.arange(len(tasks))
    problem = Problem(
        clients=tuple(node.name for node in clients),
        edges=tuple(node.name for node in edges),
        cloud=cloud.name,
        tasks=tasks,
        models=tuple(card.name for card in cards),
        client_of_a=np.array([c for c, links in enumerate(reach) for _ in links]),
        edge_of_a=np.array([position[link.target] for links in reach for link in links]),
        load_ct=load_ct,
        accuracy_mt=accuracy_mt,
        client_memory_c=np.array([float(node.memory) for node in clients]),
        edge_memory_e=np.array([float(node.memory) for node in edges]),
        client_model_bytes_cm=np.array([table[0] for table in client_tables]),
        edge_model_bytes_em=np.array([table[0] for table in edge_tables]),
        client_compute_c=np.array([node.compute for node in clients]),
        edge_compute_e=np.array([node.compute for node in edges]),
        window_e=np.array([node.window_s for node in edges]),
        client_setup_cm=np.array([table[1] for table in client_tables]),
        client_marginal_cm=np.array([table[2] for table in client_tables]),
        edge_setup_em=np.array([table[1] for table in edge_tables]),
        edge_marginal_em=np.array([table[2] for table in edge_tables]),
        curve_sizes_z=curve_sizes_z,
        edge_curve_emz=edge_curve_emz,
        cloud_accuracy_t=np.where(serves_t, accuracy_mt[cloud_model_t, T], 0.0),
        cloud_model_t=cloud_model_t,
        cloud_cost_t=np.where(serves_t, (setup_m + marginal_m)[cloud_model_t], 0.0),
        query_bytes_t=np.array([float(query_bytes[task]) for task in tasks]),
        answer_bytes_t=np.array([float(answer_bytes[task]) for task in tasks]),
        client_uplink_c=np.array([sum(up.budget_bytes_per_s for up in links) for links in reach]),
        uplink_a=np.array(
            # A client's only link is its budget; of several each has its own.
            [up.budget_bytes_per_s if len(links) > 1 else np.inf for links in reach for up in links]
        ),
        edge_uplink_e=np.array([topology.uplink(n.name).budget_bytes_per_s for n in edges]),
        cloud_compute=cloud.compute,
        deadline_t=np.array([deadline_s.get(task, np.inf) for task in tasks]),
        rtt_a=np.array([link.slowest_rtt_s for links in reach for link in links]),
        edge_rtt_e=np.array([topology.uplink(node.name).slowest_rtt_s for node in edges]),
        edge_max_batch_e=np.array([float(node.max_batch) for node in edges]),
        bandwidth_a=np.array([link.bytes_per_s for links in reach for link in links]),
        # A node refuses what would wait for its link longer than a window.
        backlog_a=np.array(
            [node.window_s for node, links in zip(clients, reach, strict=True) for _ in links]
        ),
        edge_bandwidth_e=np.array([topology.uplink(n.name).bytes_per_s for n in edges]),
        edge_backlog_e=np.array([node.window_s for node in edges]),
        dispersion_c=np.array(
            [
                phase.dispersion_of(
                    name, min(edges[position[link.target]].window_s for link in links)
                )
                for name, links in zip(names, reach, strict=True)
            ]
        ),
        burst_correlation=phase.common_bursts,
        bundle_bt=bundle_bt,
        bundle_load_cb=bundle_load_cb,
        provenance=profiles.provenance,
    )
    return split_by_class(problem, load_of, deadline_s) if classes else problem


def _loads(phase: Phase, clients: Sequence[str], tasks: Sequence[str]) -> dict[str, FloatArray]:
    """Queries/s of every task and class, by client (c)."""
    load_of = {task: np.zeros(len(clients)) for task in tasks}
    for client, rates in phase.rates_qps.items():
        _known(client, clients, "rates_qps")
        for task, rate_qps in rates.items():
            if has_class(task) and task not in load_of:
                raise ProblemError(
                    f"rates_qps.{client}.{task}: no deadline of this class is known; state it in "
                    "`deadlines_s` or `classes` of the demand"
                )
            _known(task, tasks, f"rates_qps.{client}")
            load_of[task][clients.index(client)] = rate_qps
    for position, bundle in enumerate(phase.bundles):
        _known(bundle.client, clients, f"bundles.{position}.client")
        for task in bundle.tasks:
            _known(task, tasks, f"bundles.{position}.tasks")
            load_of[task][clients.index(bundle.client)] += bundle.qps
    return load_of


def _bundles(
    phase: Phase, clients: Sequence[str], tasks: Sequence[str]
) -> tuple[FloatArray, FloatArray]:
    """Every set of tasks that some client asks of one image (b x t), and how many images/s of it
    (c x b). Names are known."""
    sets = list(dict.fromkeys(bundle.name for bundle in phase.bundles if bundle.qps > 0))
    bundle_bt = np.zeros((len(sets), len(tasks)))
    bundle_load_cb = np.zeros((len(clients), len(sets)))
    for bundle in phase.bundles:
        if bundle.qps > 0:
            b = sets.index(bundle.name)
            bundle_bt[b, [tasks.index(task) for task in bundle.tasks]] = 1.0
            bundle_load_cb[clients.index(bundle.client), b] = bundle.qps
    return bundle_bt, bundle_load_cb


def _costs(
    node: Node, cards: Sequence[ModelCard], profiles: Profiles
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bytes (inf where not measured), setup and marginal seconds of every model on `node`."""
    bytes_m = np.full(len(cards), np.inf)
    setup_m, marginal_m = np.zeros(len(cards)), np.zeros(len(cards))
    for m, card in enumerate(cards):
        profile = profiles.find(node.name, card.name)
        if profile is not None:
            bytes_m[m] = profile.resident_bytes
            setup_m[m], marginal_m[m] = profile.setup_s, profile.marginal_s
    return bytes_m, setup_m, marginal_m


def _costs_alone(
    node: Node, cards: Sequence[ModelCard], profiles: Profiles
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """`_costs` of a node that answers one query at a time: nu + c is what one was measured to take,
    where that is known."""
    bytes_m, setup_m, marginal_m = _costs(node, cards, profiles)
    for m, card in enumerate(cards):
        profile = profiles.find(node.name, card.name)
        if profile is None or profile.latency[0].batch > 1:
            continue
        one_s = profile.batch_s(1)
        if not np.isclose(setup_m[m] + marginal_m[m], one_s, rtol=ON_LINE, atol=0.0):
            setup_m[m] = min(setup_m[m], one_s)
            marginal_m[m] = one_s - setup_m[m]
    return bytes_m, setup_m, marginal_m


def _curves(
    edges: Sequence[Node], cards: Sequence[ModelCard], profiles: Profiles
) -> tuple[FloatArray, FloatArray]:
    """Batch sizes (b) and seconds of batches of them (e x m x b) as measured at every edge (F15);
    none where all of them lie on their line. A time that is less than that of a smaller batch
    counts as much as that."""
    found = {
        (e, m): profile
        for e, node in enumerate(edges)
        for m, card in enumerate(cards)
        if (profile := profiles.find(node.name, card.name)) is not None
    }
    measured = {entry.batch for profile in found.values() for entry in profile.latency}
    largest = max(node.max_batch for node in edges)
    sizes = [1, *sorted({2, largest, *measured} - {1})]
    sizes = [size for size in sizes if size <= max(largest, 2)]
    curve_emz = np.zeros((len(edges), len(cards), len(sizes)))
    bent = False
    for (e, m), profile in found.items():
        seconds_z = np.array([profile.batch_s(size) for size in sizes])
        line_z = profile.setup_s + profile.marginal_s * np.array(sizes)
        bent |= not np.allclose(seconds_z, line_z, rtol=ON_LINE, atol=0.0)
        curve_emz[e, m] = np.maximum.accumulate(seconds_z)
    if not bent:
        return np.zeros(0), curve_emz[:, :, :0]
    return np.array(sizes, dtype=float), curve_emz


def _cloud_models(
    accuracy_mt: FloatArray, load_t: FloatArray, bytes_m: FloatArray, cost_m: FloatArray,
    memory: float,
) -> np.ndarray:  # fmt: skip
    """Models the cloud holds: the best of every task if they fit together, else a greedy cover."""
    every_m = bytes_m <= memory
    best_t = _serving_models(accuracy_mt, cost_m, every_m)
    held_m = np.zeros(len(bytes_m), dtype=bool)
    held_m[best_t[best_t >= 0]] = True
    if bytes_m[held_m].sum() <= memory:
        return held_m
    weight_t = np.maximum(load_t, 1e-6 * max(float(load_t.sum()), 1.0))
    return greedy_cover((accuracy_mt * weight_t).T, np.zeros(len(weight_t)), bytes_m, memory)


def _serving_models(accuracy_mt: FloatArray, cost_m: FloatArray, held_m: np.ndarray) -> np.ndarray:
    """Per task the most accurate held model, the cheapest of equals; -1 where none serves it."""
    serving_t = np.full(accuracy_mt.shape[1], -1, dtype=np.int64)
    for t in range(accuracy_mt.shape[1]):
        able = np.flatnonzero(held_m & (accuracy_mt[:, t] > 0))
        if len(able):
            serving_t[t] = min(able, key=lambda m: (-accuracy_mt[m, t], cost_m[m]))
    return serving_t


def _known(name: str, valid: Collection[str], where: str) -> None:
    if name not in valid:
        near = difflib.get_close_matches(name, valid, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else f" (valid: {', '.join(valid)})"
        raise ProblemError(f"{where}.{name}: unknown{hint}")
