"""How soon a running cluster follows a new plan: rows C1 to C4, in out/bench/changes.json.

Run with `make bench-changes`. The demo's hierarchy runs on Ray as it does for users. Two plans
that hold the same models and route every query otherwise are put in force in turn while traffic
flows: what is measured is the reaction to a decision that needs no load. Then two that hold other
models at the edge, for what loading adds. Every query sent is accounted for.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cluster.demand import Phase
from cluster.provenance import collect_provenance
from cluster.providers import lifecycle, ray_driver
from cluster.specs import SPECS
from cluster.topology import Topology
from models.benchmarks.rooms import Rooms
from models.zoo.registry import find_model
from planner.plan import Plan, Route
from serving.rollout.execute import RolloutReport
from serving.setting.setting import Setting
from serving.system import Outcome
from serving.traffic.driver import Record, drive
from serving.traffic.images import load_images
from serving.traffic.live_system import HttpSystem
from serving.traffic.schedule import build_schedule
from serving_rows import median_row, print_rows, write_rows

if TYPE_CHECKING:
    from serving.deploy.fleet import Fleet

TASK, MODEL, OTHER = "segmentation", "rooms-small-segmentation", "rooms-small-layout"
RATE_QPS = 5.0
"""of each client: traffic enough to see a query lost, and far from any budget"""
PAUSE_S = 0.5
"""between two changes, so that traffic meets every plan"""


@contextmanager
def running_fleet(topology: Topology) -> Iterator[tuple[Fleet, Setting]]:
    """The nodes of `topology` on a Ray cluster of their own, and what the models cost there."""
    with tempfile.TemporaryDirectory() as state_dir:
        os.environ["TESTBED_STATE_DIR"] = state_dir
        state = lifecycle.up(topology)
        try:
            ray_driver.connect()
            from serving.deploy.fleet import Fleet  # which imports Ray, as the next does
            from serving.deploy.profile_nodes import profile_cluster

            cards = (find_model(MODEL), find_model(OTHER))
            setting = Setting(topology, cards, profile_cluster(topology, cards))
            yield (
                Fleet.launch(topology, (TASK,), setting.largest_query_bytes, state.link_token),
                setting,
            )
        finally:
            ray_driver.disconnect()
            lifecycle.down()


def plan(topology: Topology, version: int, at: str, edge_model: str) -> Plan:
    """Every node holds one model; all queries go to their client (`at` "client") or to the edge."""
    clients, (edge,) = topology.clients, topology.edges
    routes = [
        Route(client=client.name, task=TASK, tier="client", node=client.name, model=MODEL, share=1)
        if at == "client"
        else Route(
            client=client.name, task=TASK, tier="edge", node=edge.name, model=edge_model, share=1
        )
        for client in clients
    ]
    held: dict[str, tuple[str, ...]] = {client.name: (MODEL,) for client in clients}
    held[edge.name] = (edge_model,)
    return Plan(
        schema_version=1, version=version, problem_digest="", policy="bench", onloading=held,
        routes=tuple(routes),
    )  # fmt: skip


def load_of(topology: Topology, seconds: float) -> Phase:
    """Every client asks for the one task."""
    rates_qps = {client.name: {TASK: RATE_QPS} for client in topology.clients}
    return Phase(duration_s=seconds, rates_qps=rates_qps)


async def change_under_load(
    fleet: Fleet, setting: Setting, plans: list[Plan], bodies: Sequence[bytes]
) -> tuple[list[RolloutReport], list[Record]]:
    """Put `plans` in force one after another while queries arrive."""
    urls = fleet.urls()
    seconds = 2 + len(plans) * (PAUSE_S + 0.5)
    phase = load_of(setting.topology, seconds)
    schedule = build_schedule([phase], 1, len(bodies))
    changes: list[RolloutReport] = []
    async with HttpSystem(urls) as system:
        driving = asyncio.ensure_future(drive(system, schedule, bodies))
        for wanted in plans:
            await asyncio.sleep(PAUSE_S)
            changes.append(await asyncio.to_thread(fleet.apply, wanted, setting, phase))
        return changes, await driving


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench/changes.json"))
    parser.add_argument("--changes", type=int, default=20, help="of each kind")
    options = parser.parse_args()
    topology = Topology.load(SPECS / "demo.yaml")
    bodies = load_images([Rooms("test")], 8).bodies
    turns = range(options.changes)
    routing = [plan(topology, n + 2, ("edge", "client")[n % 2], MODEL) for n in turns]
    loading = [plan(topology, n + 2, "edge", (OTHER, MODEL)[n % 2]) for n in turns]
    with running_fleet(topology) as (fleet, setting):
        fleet.apply(plan(topology, 1, "client", MODEL), setting, load_of(topology, 1.0))
        routed, records = asyncio.run(change_under_load(fleet, setting, routing, bodies))
        loaded, more = asyncio.run(change_under_load(fleet, setting, loading, bodies))
    records += more
    found = {
        ("C1", "decision to every client on the new routes, no load needed", "ms"): _ms(
            routed, lambda change: change.reaction_s
        ),
        ("C2", "the same where the edge's model is another, its load excepted", "ms"): _ms(
            loaded, lambda change: change.reaction_s
        ),
        ("C3", "load of the new model at the edge, beside the old one", "ms"): _ms(
            loaded, lambda change: sum(sum(each.values()) for each in change.loads_s.values())
        ),
        ("C4", "queries lost while plans changed, of those sent", "share"): [
            float(np.mean([record.answer.outcome is Outcome.ERROR for record in records]))
        ],
        ("C4.refused", "queries refused meanwhile, of those sent", "share"): [
            float(np.mean([record.answer.outcome is Outcome.SHED for record in records]))
        ],
        ("C4.sent", "queries sent meanwhile", "queries"): [float(len(records))],
    }
    rows = [median_row(*about, values) for about, values in found.items()]
    write_rows(
        options.out, collect_provenance("make bench-changes", packages=("torch", "ray")), rows
    )
    print_rows(rows)


def _ms(changes: list[RolloutReport], seconds_of: Callable[[RolloutReport], float]) -> list[float]:
    return [1e3 * seconds_of(change) for change in changes]


if __name__ == "__main__":
    main()
