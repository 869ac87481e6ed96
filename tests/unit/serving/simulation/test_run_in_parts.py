"""A run in parts is the run in one piece, whether or not its parts meet in the cloud."""

from __future__ import annotations

from dataclasses import replace

import pytest

from city import city_load, city_setting
from cluster.demand import Phase
from cluster.errors import InputError
from planner.plan import Plan
from planner.policies import solve
from serving.setting.setting import Setting
from serving.simulation.run_in_parts import parts_of, simulate_in_parts
from serving.simulation.simulate import simulate
from serving.traffic.measurement import Measurements
from support.same_rows import assert_same_rows

CLIENTS, EDGES, RUN_S = 12, 3, 20.0


@pytest.fixture(scope="module")
def city(setting: Setting) -> Setting:
    return city_setting(setting, clients=CLIENTS, edges=EDGES)


def load(city: Setting, times: dict[str, float]) -> Phase:
    """The city's load, so many times of it at some clients; at those with 0 times nothing."""
    phase = city_load(city, duration_s=RUN_S)
    rates_qps = {
        client: {task: times.get(client, 1.0) * qps for task, qps in rates.items()}
        for client, rates in phase.rates_qps.items()
        if times.get(client, 1.0)
    }
    return phase.model_copy(update={"rates_qps": rates_qps})


def all_edge(city: Setting) -> Plan:
    return solve(city.problem(load(city, {})), "all-edge").plan


def compare(parts: Measurements, whole: Measurements) -> None:
    assert_same_rows(parts, whole, atol=1e-9)
    said, expected_said = (
        rows.run.model_dump(exclude={"provenance", "busy_s", "wall_s", "link_busy_s"})
        for rows in (parts, whole)
    )
    assert said == expected_said
    assert parts.run.busy_s == pytest.approx(whole.run.busy_s)
    assert parts.run.link_busy_s == pytest.approx(whole.run.link_busy_s)


def to_the_cloud(rows: Measurements) -> list[str]:
    """The edges that sent something there."""
    return [
        name.split()[0]
        for name, size in rows.run.link_bytes.items()
        if size and name.startswith("edge")
    ]


def test_the_parts_are_the_edges_with_their_clients(city: Setting) -> None:
    parts = parts_of(city.topology)
    assert [len(part) for part in parts] == [1 + CLIENTS // EDGES] * EDGES
    assert {"edge-1", "client-1", "client-4"} <= parts[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_parts_that_do_not_meet_give_what_one_piece_gives(workers: int, city: Setting) -> None:
    phase, plan = load(city, {"client-0": 40.0, "client-1": 0.0}), all_edge(city)
    whole = simulate(city, plan, [phase], seed=3)
    assert not to_the_cloud(whole)
    compare(simulate_in_parts(city, plan, [phase], seed=3, workers=workers), whole)


@pytest.mark.parametrize("slow", [("edge-0",), ("edge-0", "edge-1")])
def test_parts_whose_queries_spill_over_to_the_cloud_meet_there(
    slow: tuple[str, ...], city: Setting
) -> None:
    plan = all_edge(city)
    slowed = replace(city, profiles=city.profiles.slowed(dict.fromkeys(slow, 20.0)))
    phase = load(city, {client.name: 100.0 for client in city.topology.clients})
    whole = simulate(slowed, plan, [phase], seed=3)
    assert to_the_cloud(whole) == list(slow)
    compare(simulate_in_parts(slowed, plan, [phase], seed=3, workers=1), whole)


def test_parts_of_which_the_plan_sends_queries_to_the_cloud_meet_there(city: Setting) -> None:
    plan = all_edge(city)
    routes = tuple(
        route.model_copy(update={"node": "cloud", "tier": "cloud", "model": "rooms-large-all",
                                 "via": client_edge})
        if (client_edge := {"client-0": "edge-0", "client-2": "edge-2"}.get(route.client))
        else route
        for route in plan.routes
    )  # fmt: skip
    planned = plan.model_copy(update={"routes": routes})
    phase = load(city, {"client-0": 20.0, "client-2": 20.0})
    whole = simulate(city, planned, [phase], seed=3)
    assert to_the_cloud(whole) == ["edge-0", "edge-2"]
    compare(simulate_in_parts(city, planned, [phase], seed=3, workers=1), whole)


def test_callers_who_wait_are_not_simulated_in_parts(city: Setting) -> None:
    arrivals = {"client-0": {"kind": "closed_loop", "callers": 6, "think_s": 0.3}}
    stated = load(city, {}).model_dump(mode="json", exclude_none=True)
    phase = Phase.model_validate({**stated, "arrivals": arrivals})
    with pytest.raises(InputError, match="callers who wait"):
        simulate_in_parts(city, all_edge(city), [phase])
