"""Hierarchies of null nodes: any number of nodes, plans that keep budgets, routes that differ."""

from __future__ import annotations

import pytest

from serving.rollout.budget_check import refuse_broken_budgets
from serving.scale.null_cluster import TASK, make_null_cluster


@pytest.mark.parametrize(
    ("nodes", "clients", "edges"), [(3, 1, 1), (4, 2, 1), (8, 6, 1), (16, 12, 3), (32, 25, 6)]
)
def test_a_cluster_has_as_many_nodes_as_were_asked_for(
    nodes: int, clients: int, edges: int
) -> None:
    topology = make_null_cluster(nodes, "test").topology
    assert (len(topology.nodes), len(topology.clients), len(topology.edges)) == (
        nodes, clients, edges,
    )  # fmt: skip
    assert all(node.is_null for node in topology.nodes)


def test_fewer_nodes_than_a_hierarchy_has_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 nodes, got 2"):
        make_null_cluster(2, "test")


def test_its_plans_keep_every_budget_and_differ_in_routes_alone() -> None:
    cluster = make_null_cluster(16, "test")
    first, second = cluster.plans
    for plan in cluster.plans:
        refuse_broken_budgets(cluster.setting.problem(cluster.phase), plan)
    assert first.onloading == second.onloading
    assert all(first.onloading[node.name] for node in cluster.topology.nodes)
    assert first.routes != second.routes
    for plan in cluster.plans:
        for client in cluster.topology.clients:
            routes = [route for route in plan.routes if route.client == client.name]
            assert {route.tier for route in routes} == {"client", "edge"}
            assert {route.task for route in routes} == {TASK}
            assert sum(route.share for route in routes) == pytest.approx(1)
