"""A run in the parts of a hierarchy that meet in the cloud alone, each simulated for itself.

Each edge with its clients is a system of its own until one of its queries goes to the cloud. So
parts are simulated apart, in as many processes as there are cores. Those of which the plan sends
something to the cloud, or which turn out to have sent something there because their own ways were
full, are simulated together: what a query meets in the cloud depends on the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.demand import Phase
from cluster.errors import InputError
from cluster.provenance import collect_provenance
from cluster.topology import Topology, link_name
from planner.plan import Plan
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.on_cores import map_on_cores
from serving.simulation.simulate import IMAGES, simulate_schedule
from serving.traffic.measurement import SCHEMA, SIMULATED, MeasurementRun, Measurements
from serving.traffic.schedule import Schedule, build_schedule
from serving.traffic.sent import describe_sent, windows_by_client

__all__ = ["parts_of", "simulate_in_parts"]

COUNTERS = ("busy_s", "wall_s", "batches", "late_batches", "link_bytes", "link_busy_s")

Part = frozenset[str]
"""names of clients, and of the edges that they reach"""


def simulate_in_parts(
    setting: Setting,
    plan: Plan,
    phases: Sequence[Phase],
    *,
    seed: int = 0,
    workers: int | None = None,
    shared_passes: bool = True,
    spill_over: bool = True,
    routing: RoutingMode = RoutingMode.SHARES,
) -> Measurements:
    """What `simulate` gives, part by part, whatever the number of `workers`.

    Queries take the same ways and come to the same; times differ from those of `simulate` by
    rounding, since a generator counts each wait from the query before, which is another one here.
    Workers are as of `map_on_cores`. Raises what `simulate` raises, and `InputError` for callers
    who wait for their answers: what they ask, and when, is not known before.
    """
    for phase in phases:
        setting.problem(phase)
    schedule = build_schedule(phases, seed, IMAGES)
    if schedule.callers:
        raise InputError("callers who wait for their answers cannot be simulated in parts")
    run = partial(
        _run, seed=seed, shared_passes=shared_passes, spill_over=spill_over, routing=routing
    )

    def run_all(parts: Sequence[Part]) -> dict[Part, Measurements]:
        pieces = [_piece(setting, plan, schedule, part) for part in parts]
        return dict(zip(parts, map_on_cores(run, pieces, workers), strict=True))

    parts = parts_of(setting.topology)
    cloud = setting.topology.cloud.name
    senders = {route.client for route in plan.routes if route.node == cloud}
    meeting = [part for part in parts if not senders.isdisjoint(part)]
    done = run_all([part for part in parts if senders.isdisjoint(part)])
    strayed = [part for part, rows in done.items() if _went_to(cloud, part, rows)]
    if len(meeting) + len(strayed) > 1:
        for part in strayed:
            del done[part]
        meeting += strayed
    if meeting:
        done |= run_all([frozenset().union(*meeting)])
    return _together(setting, plan, schedule, seed, done)


def parts_of(topology: Topology) -> list[Part]:
    """The parts of a hierarchy, in the order of its clients."""
    leads_to: dict[str, str] = {}

    def first(name: str) -> str:
        while (above := leads_to.setdefault(name, name)) != name:
            name = above
        return name

    for client in topology.clients:
        for link in topology.uplinks(client.name):
            leads_to[first(client.name)] = first(link.target)
    parts: dict[str, set[str]] = {}
    for name in list(leads_to):
        parts.setdefault(first(name), set()).add(name)
    return [frozenset(names) for names in parts.values()]


def _went_to(cloud: str, part: Part, rows: Measurements) -> bool:
    """Whether a link of `part` carried something there."""
    return any(rows.run.link_bytes.get(link_name(node, cloud), 0) for node in part)


def _places(schedule: Schedule, part: Part) -> NDArray[np.int64]:
    """Where the queries of a part's clients stand in the schedule."""
    asking_c = np.array([client in part for client in schedule.clients], bool)
    return np.flatnonzero(asking_c[schedule.client_q])


def _piece(
    setting: Setting, plan: Plan, schedule: Schedule, part: Part
) -> tuple[Setting, Plan, Schedule]:
    """What one part is made of. A hierarchy has a cloud, if only an idle one."""
    inside = {*part, setting.topology.cloud.name}
    nodes = tuple(node for node in setting.topology.nodes if node.name in inside)
    links = tuple(link for link in setting.topology.links if link.source in part)
    profiles = tuple(each for each in setting.profiles.profiles if each.node in inside)
    routes = tuple(route for route in plan.routes if route.client in part)
    onloading = {node: models for node, models in plan.onloading.items() if node in inside}
    place_q = _places(schedule, part)
    client_q = schedule.client_q[place_q]
    asking_c = np.unique(client_q)
    columns: dict[str, Any] = {
        name: getattr(schedule, name)[place_q]
        for name in ("scheduled_s_q", "task_q", "image_q", "phase_q")
    }
    if schedule.request_q is not None:
        columns["request_q"] = schedule.request_q[place_q]
    return (
        replace(
            setting,
            topology=setting.topology.model_copy(update={"nodes": nodes, "links": links}),
            profiles=setting.profiles.model_copy(update={"profiles": profiles}),
        ),
        plan.model_copy(update={"routes": routes, "onloading": onloading}),
        replace(
            schedule,
            clients=tuple(schedule.clients[position] for position in asking_c),
            client_q=np.searchsorted(asking_c, client_q).astype(np.int32),
            **columns,
        ),
    )


def _run(
    piece: tuple[Setting, Plan, Schedule],
    *,
    seed: int,
    shared_passes: bool,
    spill_over: bool,
    routing: RoutingMode,
) -> Measurements:
    return simulate_schedule(
        *piece, seed=seed, shared_passes=shared_passes, spill_over=spill_over, routing=routing
    )


def _together(
    setting: Setting, plan: Plan, schedule: Schedule, seed: int, done: dict[Part, Measurements]
) -> Measurements:
    """The rows of all parts in the order of `schedule`, and what is said of the whole run."""
    runs = [rows.run for rows in done.values()]
    order_q = np.argsort(np.concatenate([_places(schedule, part) for part in done]))
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(rows, name) for rows in done.values()])[order_q]
        for name in SCHEMA.names
    }
    columns["query"] = np.arange(len(schedule))
    update: dict[str, Any] = {name: _summed(runs, name) for name in COUNTERS}
    tiers = {tier: None for run in runs for tier in run.bounds_s}
    update["bounds_s"] = {
        tier: max(_said(run.bounds_s.get(tier) for run in runs)) for tier in tiers
    }
    update["plan_digest"] = plan.digest
    update["requests"] = None if schedule.request_q is None else len(schedule.requests())
    update["sent"] = describe_sent(schedule, windows_by_client(setting.topology))
    update["provenance"] = collect_provenance(SIMULATED, seed=seed)
    return Measurements(run=runs[0].model_copy(update=update), **columns)


def _said(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _summed(runs: Sequence[MeasurementRun], name: str) -> dict[str, float]:
    """A counter over all parts. The cloud is in each of them, and counts in one at most."""
    total: dict[str, float] = {}
    for run in runs:
        for key, value in getattr(run, name).items():
            total[key] = total.get(key, 0) + value
    return total
