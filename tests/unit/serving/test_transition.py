"""From plan to plan: memory is never exceeded, and routes never name what is not loaded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from planner.plan import Plan, Route
from serving.control.promise import promised_bounds_s
from serving.control.transition import plan_transition, route_tables

NODES = ("c", "e", "o")
TIERS = {"c": "client", "e": "edge", "o": "cloud"}
MODELS = ("m0", "m1", "m2", "m3")
SIZES = {(node, model): 1 + index for node in NODES for index, model in enumerate(MODELS)}
TASKS = ("depth", "edges")


def plan_with(onloading: dict, routes: list[tuple[str, str, str, float]]) -> Plan:
    return Plan(
        problem_digest="d",
        policy="p",
        onloading={node: tuple(models) for node, models in onloading.items()},
        routes=tuple(
            Route(client="c", task=task, tier=TIERS[node], node=node, model=model, share=share)
            for task, node, model, share in routes
        ),
    )


@st.composite
def plans(draw):
    onloading = {node: draw(st.sets(st.sampled_from(MODELS), max_size=2)) for node in NODES}
    routes = []
    for task in TASKS:
        ways = [(node, model) for node in NODES for model in onloading[node]]
        for node, model in draw(st.lists(st.sampled_from(ways), max_size=3)) if ways else ():
            routes.append((task, node, model, 0.25))
    return plan_with(onloading, routes)


def test_what_fits_is_loaded_before_anything_goes() -> None:
    old = plan_with({"c": ["m0"]}, [("depth", "c", "m0", 1.0)])
    new = plan_with({"c": ["m1"]}, [("depth", "c", "m1", 1.0)])
    steps = plan_transition(
        new, 2, route_tables(old, 1, ("c",)), {"c": frozenset({"m0"})}, SIZES, {"c": 3}
    )
    assert steps.interim == {}
    assert steps.unload_first == {}
    assert steps.load == {"c": ("m1",)}
    assert steps.keep == {"c": frozenset({"m1"})}
    assert steps.routes["c"].version == 2


def test_what_does_not_fit_is_routed_round_first() -> None:
    old = plan_with(
        {"c": ["m0", "m1"], "o": ["m3"]},
        [("depth", "c", "m0", 0.5), ("depth", "c", "m1", 0.25), ("edges", "c", "m1", 1.0)],
    )
    new = plan_with(
        {"c": ["m0", "m2"], "o": ["m3"]},
        [("depth", "c", "m2", 1.0), ("edges", "c", "m2", 0.2), ("edges", "o", "m3", 0.8)],
    )
    held = {"c": frozenset({"m0", "m1"}), "o": frozenset({"m3"})}
    steps = plan_transition(new, 5, route_tables(old, 4, ("c",)), held, SIZES, {"c": 4, "o": 100})
    assert steps.unload_first == {"c": frozenset({"m0"})}
    interim = steps.interim["c"].routes
    assert [(target.model, share) for target, share in interim["depth"]] == [("m0", 0.75)]
    assert [(target.node, share) for target, share in interim["edges"]] == [("o", 1.0)]
    assert (steps.interim["c"].version, steps.routes["c"].version) == (5, 6)


@settings(max_examples=200, deadline=None)
@given(old=plans(), new=plans(), spare=st.integers(0, 3))
def test_budgets_and_routes_hold_at_every_step(old, new, spare) -> None:
    held = {node: frozenset(old.onloading[node]) for node in NODES}

    def used(models: dict) -> dict:
        return {node: sum(SIZES[node, model] for model in models[node]) for node in NODES}

    wanted = {node: frozenset(new.onloading[node]) for node in NODES}
    budget = {node: max(used(held)[node], used(wanted)[node]) + spare for node in NODES}
    steps = plan_transition(new, 2, route_tables(old, 1, ("c",)), held, SIZES, budget)

    def check_routes(tables, models) -> None:
        for table in tables.values():
            for node, named in table.models.items():
                assert named <= models[node]
            for targets in table.routes.values():
                assert sum(share for _, share in targets) <= 1 + 1e-9

    present = dict(held)
    if steps.interim:
        present.update(steps.unload_first)
        check_routes(steps.interim, present)
    for node, models in steps.load.items():
        present[node] = present[node] | set(models)
    assert all(used(present)[node] <= budget[node] for node in NODES)
    check_routes(steps.routes, present)
    assert all(steps.keep[node] == wanted[node] for node in NODES)


def test_bounds_add_the_links_on_the_way() -> None:
    from pathlib import Path

    from cluster.topology import Topology

    specs = Path(__file__).resolve().parents[3] / "cluster" / "specs"
    topology = Topology.load(specs / "demo.yaml")
    bounds = promised_bounds_s(topology, "client-0", query_bytes=60_000)
    up_s = 60_000 / float(topology.uplink("client-0").bandwidth) + 0.004
    edge_s = 2 * topology.node("edge-0").window_s
    assert bounds["client-0"] == 2 * topology.node("client-0").window_s
    assert abs(bounds["edge-0"] - (edge_s + up_s)) < 1e-9
    assert bounds["cloud"] > bounds["edge-0"] - edge_s + 2 * topology.cloud.window_s
