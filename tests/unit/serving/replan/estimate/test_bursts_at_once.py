"""Whether clients burst at once is found from what they send beyond their means."""

from __future__ import annotations

import numpy as np
import pytest

from serving.node.snapshot import NodeSnapshot
from serving.replan.estimate.common_bursts import ClientExcess, CommonBursts
from serving.replan.estimate.load_estimate import EstimatorState, LoadEstimate, LoadEstimator


def test_the_example_of_the_module() -> None:
    at_once = CommonBursts().after([ClientExcess(10.0, 100.0)] * 3, 1.0)
    assert at_once.together == pytest.approx(600.0)
    assert at_once.at_most == pytest.approx(600.0 * 11)  # ten looks are taken as seen before
    for _ in range(200):
        at_once = at_once.after([ClientExcess(-10.0, 100.0)] * 3, 1.0)
    assert at_once.correlation == pytest.approx(1.0, abs=0.06)


def test_opposite_bursts_are_no_common_ones() -> None:
    found = CommonBursts(stated=0.5)
    for _ in range(200):
        found = found.after([ClientExcess(10.0, 100.0), ClientExcess(-10.0, 100.0)], 1.0)
    assert found.correlation == 0.0


def test_what_was_stated_is_believed_until_seen_otherwise() -> None:
    stated = CommonBursts(stated=0.8)
    assert stated.correlation == 0.8
    calm = stated.after([ClientExcess(3.0, 0.0), ClientExcess(2.0, 0.0)], 1.0)
    assert calm == stated  # nobody bursts, so nothing is said of bursts
    for _ in range(60):
        stated = stated.after([ClientExcess(10.0, 100.0), ClientExcess(0.0, 100.0)], 1.0)
    assert stated.correlation == pytest.approx(0.4, abs=0.02)


def snapshot(at_s: float, client: str, count: int) -> NodeSnapshot:
    return NodeSnapshot(
        node=client, taken_s=at_s, busy_s=0.0, batches=0, sent_bytes=0, models=(), plan_version=1,
        arrived={"depth": count}, served={}, refused={}, loads_s={},
    )  # fmt: skip


def seen(rates_lc: np.ndarray, seed: int) -> LoadEstimate:
    """What is estimated after looks (l) at clients (c) with these rates, a second each."""
    rng = np.random.default_rng(seed)
    estimator = LoadEstimator(("depth",))
    total_c = np.zeros(rates_lc.shape[1], dtype=int)
    estimate = None
    for look, rates_c in enumerate(rates_lc):
        total_c += rng.poisson(rates_c)
        estimate = estimator.update(
            {f"c{c}": snapshot(float(look), f"c{c}", int(n)) for c, n in enumerate(total_c)}
        )
    assert estimate is not None
    return estimate


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("common", "low", "high"), [(0.0, 0.0, 0.25), (1.0, 0.75, 1.0)])
def test_an_estimator_tells_bursts_of_all_from_bursts_of_each(
    seed: int, common: float, low: float, high: float
) -> None:
    rng = np.random.default_rng(100 + seed)
    own_lc = rng.gamma(1.0, 1.0, (400, 4))
    all_lc = np.repeat(rng.gamma(1.0, 1.0, (400, 1)), 4, axis=1)
    rates_lc = 20.0 * (all_lc if common else own_lc)
    assert low <= seen(rates_lc, seed).burst_correlation <= high


def test_an_estimator_goes_on_from_what_it_saw_of_common_bursts() -> None:
    state = EstimatorState.before_looking({"c0": 9.0, "c1": 9.0}, 0.4, 1.0, 0.7)
    assert state.common.correlation == 0.7
    assert EstimatorState.model_validate_json(state.model_dump_json()) == state
