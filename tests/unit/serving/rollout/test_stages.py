"""From plan to plan: memory is never exceeded, and routes never name what is not loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.specs import SPECS
from planner.latency_bound import latency_bounds_s
from planner.plan import Plan, Route, TierName
from serving.rollout.interim_routes import Capabilities, open_ways
from serving.rollout.refuges import QueueRouting
from serving.rollout.stages import MemoryBudgets, Stage, plan_rollout, route_tables
from serving.routing.routes import RouteTable, RoutingMode, Target

NODES = ("c", "e", "o")
TIERS: dict[str, TierName] = {"c": "client", "e": "edge", "o": "cloud"}
MODELS = ("m0", "m1", "m2", "m3")
SIZES = {(node, model): 1 + index for node in NODES for index, model in enumerate(MODELS)}
TASKS = ("depth", "edges")


def plan_with(
    onloading: Mapping[str, Iterable[str]], routes: list[tuple[str, str, str, float]]
) -> Plan:
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
def plans(draw: st.DrawFn) -> Plan:
    onloading = {node: draw(st.sets(st.sampled_from(MODELS), max_size=2)) for node in NODES}
    routes = []
    for task in TASKS:
        ways = [(node, model) for node in NODES for model in onloading[node]]
        for node, model in draw(st.lists(st.sampled_from(ways), max_size=3)) if ways else ():
            routes.append((task, node, model, 0.25))
    return plan_with(onloading, routes)


PATHS = {"c": [("client", "c"), ("edge", "e"), ("cloud", "o")]}


def stages_of(
    new: Plan,
    old: Plan,
    memory: dict[str, int],
    version: int = 2,
    serves: dict[str, tuple[str, ...]] | None = None,
) -> tuple[Stage, ...]:
    held = {node: frozenset(old.onloading.get(node, ())) for node in memory}
    tables = route_tables(old, version - 1, ("c",))
    return plan_rollout(
        new, version, tables, held, MemoryBudgets(SIZES, memory), PATHS, serves or {}
    )


def test_what_fits_is_loaded_before_anything_goes() -> None:
    old = plan_with({"c": ["m0"]}, [("depth", "c", "m0", 1.0)])
    new = plan_with({"c": ["m1"]}, [("depth", "c", "m1", 1.0)])
    (stage,) = stages_of(new, old, {"c": 3})
    assert stage.load == {"c": ("m1",)}
    assert stage.keep == {"c": frozenset({"m1"})}
    assert stage.routes["c"] == route_tables(new, 2, ("c",))["c"]


def test_routing_by_queues_holds_at_every_stage() -> None:
    old = plan_with({"c": ["m0"], "o": ["m3"]}, [("depth", "c", "m0", 1.0)])
    new = plan_with({"c": ["m1"], "o": ["m3"]}, [("depth", "c", "m1", 1.0)])
    accuracy = {model: {"depth": 0.5} for model in MODELS}
    queues = QueueRouting.of(RoutingMode.PENALTY, accuracy)
    stages = plan_rollout(
        new, 2, route_tables(old, 1, ("c",)), {n: frozenset(old.onloading[n]) for n in ("c", "o")},
        MemoryBudgets(SIZES, {"c": 2, "o": 9}), PATHS, {"m3": TASKS}, None, queues,
    )  # fmt: skip
    assert len(stages) == 2
    for stage in stages:
        table = stage.routes["c"]
        assert (table.routing, table.accuracy) == (RoutingMode.PENALTY, accuracy)
    assert QueueRouting.of(RoutingMode.SHORTER, accuracy).accuracy == {}


def test_what_does_not_fit_is_routed_round_first() -> None:
    """To the plan's own way where it is open already, else to what stays."""
    old = plan_with(
        {"c": ["m0", "m1"], "o": ["m3"]},
        [("depth", "c", "m0", 0.5), ("depth", "c", "m1", 0.25), ("edges", "c", "m1", 1.0)],
    )
    new = plan_with(
        {"c": ["m0", "m2"], "o": ["m3"]},
        [("depth", "c", "m2", 1.0), ("edges", "c", "m2", 0.2), ("edges", "o", "m3", 0.8)],
    )
    first, last = stages_of(new, old, {"c": 4, "e": 0, "o": 100}, version=5)
    assert (first.load, first.keep["c"]) == ({"c": (), "e": (), "o": ()}, frozenset({"m0"}))
    interim = first.routes["c"].routes
    assert [(target.model, share) for target, share in interim["depth"]] == [("m0", 0.75)]
    assert [(target.node, share) for target, share in interim["edges"]] == [("o", 1.0)]
    assert last.load["c"] == ("m2",)
    assert (first.routes["c"].version, last.routes["c"].version) == (5, 6)


def test_the_cloud_stands_in_for_a_model_that_has_to_go_first() -> None:
    old = plan_with(
        {"c": ["m0"], "o": ["m3"]}, [("depth", "c", "m0", 0.9), ("edges", "o", "m3", 1.0)]
    )
    new = plan_with(
        {"c": ["m1"], "o": ["m3"]}, [("depth", "c", "m1", 0.5), ("depth", "o", "m3", 0.5)]
    )
    first, _ = stages_of(new, old, {"c": 2, "o": 100})
    assert [(t.node, share) for t, share in first.routes["c"].routes["depth"]] == [("o", 0.9)]
    capable = plan_with({"c": ["m1"], "o": ["m3"]}, [("depth", "c", "m1", 1.0)])
    other = plan_with(
        {"c": ["m0"], "o": ["m3"]}, [("depth", "c", "m0", 0.9), ("depth", "o", "m3", 0.1)]
    )
    first, _ = stages_of(capable, other, {"c": 2, "o": 100})
    assert [(t.node, share) for t, share in first.routes["c"].routes["depth"]] == [("o", 1.0)]


def test_a_crowded_node_gives_up_first_what_others_can_stand_in_for() -> None:
    """m0 and m1 go, m2 comes, and m1 alone makes room for nothing: each task keeps a way."""
    old = plan_with(
        {"c": ["m0", "m1", "m3"], "o": ["m3"]},
        [("depth", "c", "m3", 1.0), ("edges", "c", "m0", 0.5), ("edges", "o", "m3", 0.5)],
    )
    new = plan_with(
        {"c": ["m1", "m2"], "o": ["m3"]}, [("depth", "c", "m2", 1.0), ("edges", "o", "m3", 1.0)]
    )
    stages = stages_of(new, old, {"c": 7, "o": 100})
    assert stages[0].keep["c"] == frozenset({"m0", "m1"})
    assert [(t.node, s) for t, s in stages[0].routes["c"].routes["depth"]] == [("o", 1.0)]
    assert len(stages) == 2


def test_crowded_nodes_take_turns_where_nothing_else_serves() -> None:
    old = plan_with({"c": ["m0"], "e": ["m0"]}, [("depth", "c", "m0", 1.0)])
    new = plan_with({"c": ["m1"], "e": ["m1"]}, [("depth", "c", "m1", 1.0)])
    stages = stages_of(new, old, {"c": 2, "e": 2, "o": 9})
    ways = [
        [(target.node, target.model) for target, _ in stage.routes["c"].routes["depth"]]
        for stage in stages
    ]
    assert ways == [[("c", "m0")], [("e", "m1")], [("c", "m1")]]


def test_what_a_model_can_do_is_used_even_if_no_plan_asked_it_to() -> None:
    old = plan_with({"c": ["m0"], "o": ["m3"]}, [("depth", "c", "m0", 1.0)])
    new = plan_with({"c": ["m1"], "o": ["m3"]}, [("depth", "c", "m1", 1.0)])
    first, _ = stages_of(new, old, {"c": 2, "o": 9}, serves={"m3": TASKS})
    assert [(t.node, s) for t, s in first.routes["c"].routes["depth"]] == [("o", 1.0)]


def test_a_plan_that_does_not_fit_is_refused() -> None:
    old = plan_with({"c": ["m0"]}, [])
    new = plan_with({"c": ["m1", "m2"]}, [])
    with pytest.raises(ValueError, match="models for c take more than its 4 bytes"):
        stages_of(new, old, {"c": 4})


@settings(max_examples=120, deadline=None)
@given(old=plans(), new=plans(), spare=st.integers(0, 3))
def test_budgets_and_routes_hold_at_every_stage(old: Plan, new: Plan, spare: int) -> None:
    def used(models: Mapping[str, frozenset[str]]) -> dict[str, int]:
        return {node: sum(SIZES[node, model] for model in models[node]) for node in NODES}

    present = {node: frozenset(old.onloading[node]) for node in NODES}
    wanted = {node: frozenset(new.onloading[node]) for node in NODES}
    budget = {node: max(used(present)[node], used(wanted)[node]) + spare for node in NODES}
    stages = stages_of(new, old, budget)
    final = route_tables(new, 1, ("c",))["c"].routes
    before = route_tables(old, 1, ("c",))["c"].routes
    able = Capabilities.known(
        (*route_tables(old, 1, ("c",)).values(), *route_tables(new, 1, ("c",)).values()), {}
    )
    for number, stage in enumerate(stages):
        present = {node: models | set(stage.load[node]) for node, models in present.items()}
        assert all(used(present)[node] <= budget[node] for node in NODES)
        table = stage.routes["c"]
        assert table.version == 2 + number
        for target in {target for targets in table.routes.values() for target, _ in targets}:
            assert target.model in stage.keep[target.node]
        assert all(stage.keep[node] <= present[node] for node in NODES)
        for task, targets in table.routes.items():
            assert sum(share for _, share in targets) <= 1 + 1e-9
            ways = open_ways(task, RouteTable(1, final), able, stage.keep, PATHS["c"])
            if stage is not stages[-1] and before.get(task) and ways:
                assert targets, f"{task} has an open way that is not used"
        present = dict(stage.keep)
    assert present == wanted
    assert stages[-1].routes["c"].routes == final
    assert len(stages) <= 1 + sum(len(wanted[node]) for node in NODES)


def test_bounds_add_the_links_on_the_way() -> None:

    from cluster.topology import Topology

    specs = SPECS
    topology = Topology.load(specs / "demo.yaml")
    bounds = latency_bounds_s(topology, "client-0", query_bytes=60_000)
    up_s = 60_000 / topology.uplink("client-0").bytes_per_s + 0.004
    edge_s = 2 * topology.node("edge-0").window_s
    assert bounds["client-0"] == 2 * topology.node("client-0").window_s
    assert abs(bounds["edge-0"] - (edge_s + up_s)) < 1e-9
    assert bounds["cloud"] > bounds["edge-0"] - edge_s + 2 * topology.cloud.window_s


def test_of_several_ways_to_a_node_the_slowest_is_promised() -> None:

    from cluster.topology import Topology

    specs = SPECS
    topology = Topology.load(specs / "two-edges.yaml")
    bounds = latency_bounds_s(topology, "client-0", query_bytes=16_000)
    near_s, far_s = 0.1 + 0.004, 0.1 + 0.01
    assert bounds == pytest.approx(
        {
            "client-0": 0.8,
            "edge-0": 0.8 + near_s,
            "edge-1": 0.8 + far_s,
            "cloud": 0.8 + far_s + 16_000 / 80_000 + 0.03,
        }
    )


def test_a_way_to_the_cloud_names_the_edge_that_it_passes() -> None:
    route = Route(client="c", task="depth", tier="cloud", node="o", model="m", share=1.0, via="e")
    plan = Plan(problem_digest="d", policy="p", onloading={"o": ("m",)}, routes=(route,))
    table = route_tables(plan, 1, ("c",))["c"]
    assert table.routes == {"depth": ((Target("cloud", "o", "m", "e"), 1.0),)}
