"""Sampled instances: seeded, sourced, and with the budget biting that the regime names."""

from __future__ import annotations

import numpy as np
import pytest

from planner.instances import FAMILIES, REGIMES, load_devices, load_library, sample_problem
from planner.policies import Options, solve
from planner.problem import ProblemError


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("regime", REGIMES)
def test_a_sample_is_seeded_and_worth_planning(family: str, regime: str) -> None:
    problem = sample_problem(family, regime, edges=1, clients_per_edge=5, seed=3)
    assert problem.digest == sample_problem(family, regime, 1, 5, 3).digest
    assert problem.digest != sample_problem(family, regime, 1, 5, 4).digest
    best = solve(problem, "certified", Options(overrun=None, gap=1e-2))
    assert 0.3 < best.objective < 0.97
    for tier in ("all-local", "all-edge", "all-cloud"):
        assert solve(problem, tier).objective < best.objective


def test_communication_sends_little_and_memory_holds_few() -> None:
    by_regime = {name: sample_problem("taskonomy", name, 1, 8, 0) for name in REGIMES}
    uplink = {name: p.client_uplink_c.sum() / p.load_ct.sum() for name, p in by_regime.items()}
    assert uplink["communication"] == min(uplink.values())
    memory = {name: p.client_memory_c.sum() for name, p in by_regime.items()}
    assert memory["memory"] == min(memory.values())
    compute = {name: p.client_compute_c.sum() for name, p in by_regime.items()}
    assert compute["compute"] == min(compute.values())


@pytest.mark.parametrize("family", ["taskonomy", "domainnet", "cityscapes3d"])
def test_a_library_names_its_source_licence_and_stand_ins(family: str) -> None:
    library = load_library(family)
    assert len(library.source) > 40
    assert library.licence
    assert "not published" in library.stand_ins
    accuracy_mt = library.accuracy_mt()
    served = accuracy_mt > 0
    assert served.any(axis=0).all()
    assert accuracy_mt[served].min() == pytest.approx(0.55)
    assert accuracy_mt.max() == pytest.approx(0.95)


def test_taskonomy_has_every_subset_and_its_losses() -> None:
    library = load_library("taskonomy")
    assert len(library.models) == 36
    by_name = {model.name: model for model in library.models}
    assert by_name["sdnkt"].metric["depth"] == 0.1439
    assert by_name["s-half"].gmacs == 3.25


def test_devices_name_their_source() -> None:
    catalogue = load_devices()
    assert {device.tier for device in catalogue.devices} == {"client", "edge", "cloud"}
    assert all(device.source for device in catalogue.devices)
    assert all(link.source for link in catalogue.links)
    with pytest.raises(KeyError, match="links: lte"):
        catalogue.link("wire")


def test_unknown_names_and_counts_are_refused() -> None:
    with pytest.raises(ProblemError, match="did you mean 'taskonomy'"):
        sample_problem("taskonmy")
    with pytest.raises(ProblemError, match=r"valid: mixed, memory"):
        sample_problem("random", "bandwidth")
    with pytest.raises(ProblemError, match="edges: must be at least 1"):
        sample_problem("random", edges=0)


def test_clients_can_reach_several_edges() -> None:
    one = sample_problem("random", edges=3, clients_per_edge=4, seed=2)
    two = sample_problem("random", edges=3, clients_per_edge=4, seed=2, reach=2)
    assert two.edge_of_a[::2].tolist() == one.edge_of_a.tolist()
    assert (two.edge_of_a[1::2] != one.edge_of_a).all()
    np.testing.assert_array_equal(two.load_ct, one.load_ct)
    np.testing.assert_allclose(two.uplink_a[1::2], 0.6 * one.client_uplink_c)
    three = sample_problem("random", edges=3, clients_per_edge=4, seed=2, reach=3)
    kept = three.edge_of_a.reshape(-1, 3)[:, :2]
    np.testing.assert_array_equal(kept.ravel(), two.edge_of_a)
    with pytest.raises(ProblemError, match="reach: must be from 1 to the 3 edges, got 4"):
        sample_problem("random", edges=3, reach=4)


def test_the_cloud_can_be_given_a_budget() -> None:
    problem = sample_problem("random", edges=2, clients_per_edge=4, cloud_capacity=0.05)
    solution = solve(problem, "certified", Options(overrun=None, gap=1e-2))
    tight = solution.evaluation.usages["F8"]
    assert tight.use_n[0] <= tight.budget_n[0] * (1 + 1e-6)
