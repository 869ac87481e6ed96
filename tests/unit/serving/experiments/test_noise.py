"""Figures that planning is told wrong: within the error, drawn by the seed, and only those."""

from __future__ import annotations

import pytest

from serving.experiments.noise import with_wrong_bandwidths, with_wrong_rates, with_wrong_setups
from support.demo_setting import demo_demand, demo_setting

SETTING, PHASE = demo_setting(), demo_demand().phases[0]


def within(ratios: list[float], error: float) -> bool:
    inside = all(1 - error - 1e-5 <= ratio <= 1 + error + 1e-5 for ratio in ratios)
    return inside and max(ratios) - min(ratios) > error


def test_rates_are_off_by_up_to_the_error() -> None:
    wrong = with_wrong_rates(PHASE, 1, error=0.25)
    ratios = [
        wrong.rates_qps[client][task] / rate
        for client, rates in PHASE.rates_qps.items()
        for task, rate in rates.items()
    ]
    assert within(ratios, 0.25)
    assert with_wrong_rates(PHASE, 1, error=0.25) == wrong
    assert with_wrong_rates(PHASE, 2, error=0.25) != wrong


def test_set_up_costs_are_off_and_batches_of_every_size_by_as_much() -> None:
    wrong = with_wrong_setups(SETTING, 1, error=0.5)
    pairs = list(zip(wrong.profiles.profiles, SETTING.profiles.profiles, strict=True))
    assert within([a.setup_s / b.setup_s for a, b in pairs], 0.5)
    assert all(a.marginal_s == b.marginal_s for a, b in pairs)
    for a, b in pairs:
        more_s = [x.p50_s - y.p50_s for x, y in zip(a.latency, b.latency, strict=True)]
        assert more_s == pytest.approx([a.setup_s - b.setup_s] * len(more_s))
    seen, true = wrong.problem(PHASE), SETTING.problem(PHASE)
    assert (seen.edge_setup_em != true.edge_setup_em).any()
    assert (seen.edge_marginal_em == true.edge_marginal_em).all()


def test_wrong_set_up_costs_reach_the_problem_whatever_was_looked_up_before() -> None:
    setting, phase = demo_setting(), demo_demand().phases[0]
    true_em = setting.problem(phase).edge_setup_em
    wrong_em = with_wrong_setups(setting, 3, error=0.5).problem(phase).edge_setup_em
    assert (wrong_em != true_em).all()


def test_bandwidths_are_off_by_up_to_the_error() -> None:
    wrong = with_wrong_bandwidths(SETTING, 1, error=0.1)
    pairs = zip(wrong.topology.links, SETTING.topology.links, strict=True)
    ratios = [a.bytes_per_s / b.bytes_per_s for a, b in pairs]
    assert all(0.9 - 1e-5 <= ratio <= 1.1 + 1e-5 for ratio in ratios)
    assert len(set(ratios)) == len(ratios)
    seen, true = wrong.problem(PHASE), SETTING.problem(PHASE)
    assert seen.client_uplink_c / true.client_uplink_c == pytest.approx(ratios[:3], rel=1e-4)


def test_no_error_changes_nothing() -> None:
    assert with_wrong_rates(PHASE, 1, error=0.0) == PHASE
    assert with_wrong_setups(SETTING, 1, error=0.0).profiles == SETTING.profiles
    assert with_wrong_bandwidths(SETTING, 1, error=0.0).topology == SETTING.topology
