"""An hour of ten thousand clients in simulated time: seconds and bytes (T7.city_*).

A hundred edges with a hundred clients each, under one cloud. Nodes are like those of the demo, with
what models take there; each client asks two tasks, a query every twenty seconds in the mean.
"""

from __future__ import annotations

import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np

from cluster.demand import Phase
from cluster.topology import Link, Node, Topology
from planner.policies import solve
from profiling.profile import Profiles
from serving.setting.setting import Setting
from serving.simulation.run_in_parts import simulate_in_parts
from serving.simulation.simulate import simulate
from serving_rows import median_row

__all__ = ["City", "city_load", "city_rows", "city_setting", "run_city"]

CLIENTS, EDGES = 10_000, 100
HOUR_S = 3_600.0
CLIENT_QPS = 0.05
TASKS = ("depth", "segmentation")
MODELS = ("rooms-small-all", "rooms-middle-all", "rooms-large-all")
KIBI = 1024


class City(NamedTuple):
    """What simulating took."""

    queries: int
    answered_share: float
    spent_s: float
    """of a core"""
    peak_bytes: int
    """of the process, plan and topology among them"""
    parts_s: float
    """by the clock on the wall, the same in parts on all cores"""


def city_setting(demo: Setting, clients: int = CLIENTS, edges: int = EDGES) -> Setting:
    """`clients` under `edges` under one cloud, with nodes, links and profiles as in `demo`."""
    topology = demo.topology
    client, edge, cloud = topology.clients[0], topology.edges[0], topology.cloud
    below, above = topology.uplinks(client.name)[0], topology.uplink(edge.name)
    like: dict[Node, list[str]] = {
        client: [f"client-{c}" for c in range(clients)],
        edge: [f"edge-{e}" for e in range(edges)],
        cloud: [cloud.name],
    }
    ups: list[Link] = [
        below.model_copy(update={"source": name, "target": f"edge-{c % edges}"})
        for c, name in enumerate(like[client])
    ]
    ups += [above.model_copy(update={"source": name}) for name in like[edge]]
    cards = tuple(card for card in demo.cards if card.name in MODELS)
    profiles = tuple(
        profile.model_copy(update={"node": name})
        for node, names in like.items()
        for card in cards
        if (profile := demo.profiles.find(node.name, card.name)) is not None
        for name in names
    )
    nodes = tuple(
        node.model_copy(update={"name": name}) for node, names in like.items() for name in names
    )
    return replace(
        demo,
        topology=Topology(name="city", nodes=nodes, links=tuple(ups)),
        cards=cards,
        profiles=Profiles(topology="city", profiles=profiles, provenance=demo.profiles.provenance),
    )


def city_load(city: Setting, duration_s: float = HOUR_S) -> Phase:
    """Every client asks the same."""
    rates_qps = dict.fromkeys(TASKS, CLIENT_QPS / len(TASKS))
    clients = city.topology.clients
    return Phase(duration_s=duration_s, rates_qps={node.name: rates_qps for node in clients})


def run_city(city: Setting, phase: Phase) -> City:
    """Plan for `phase`, all at the edges, and simulate it: in one piece, and in parts."""
    plan = solve(city.problem(phase), "all-edge").plan
    begun_s = time.process_time()
    rows = simulate(city, plan, [phase])
    spent_s = time.process_time() - begun_s
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBI
    answered_share = float(rows.answered.mean())
    begun_s = time.perf_counter()
    parts = simulate_in_parts(city, plan, [phase])
    parts_s = time.perf_counter() - begun_s
    if not np.array_equal(rows.outcome, parts.outcome):
        raise RuntimeError("in parts, other queries were answered than in one piece")
    return City(len(rows), answered_share, spent_s, peak_bytes, parts_s)


def city_rows(demo: Setting) -> list[dict[str, object]]:
    """T7.city_s, T7.city_bytes and T7.city_parts_s, of a process of its own."""
    city = city_setting(demo)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(run_city, city, city_load(city)).result()
    print(f"  {found}", flush=True)
    cores = len(os.sched_getaffinity(0))
    what = f"an hour of {CLIENTS} clients, {found.queries} queries"
    return [
        median_row("T7.city_s", f"{what}: seconds of a core", "s", [found.spent_s]),
        median_row("T7.city_bytes", f"{what}: memory at most", "bytes",
                   [float(found.peak_bytes)]),
        median_row("T7.city_parts_s", f"{what}: seconds edge by edge, on {cores} cores", "s",
                   [found.parts_s]),
    ]  # fmt: skip
