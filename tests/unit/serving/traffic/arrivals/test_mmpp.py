"""Modulated rates: their mean, their states, and how clients move together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.arrivals import MmppArrivals
from serving.traffic.arrivals.mmpp import mmpp_factor
from serving.traffic.arrivals.step_path import StepPath

STATES = ({"factor": 0.5, "dwell_s": 4.0}, {"factor": 4.0, "dwell_s": 1.0})


def process(**more: Any) -> MmppArrivals:
    return MmppArrivals.model_validate({"kind": "mmpp", "states": STATES, **more})


def factor(of: MmppArrivals, client: int, duration_s: float, shared: int = 0) -> StepPath:
    own, follow = np.random.default_rng([1, client]), np.random.default_rng([2, client])
    return mmpp_factor(of, own, np.random.default_rng([3, shared]), follow, duration_s)


def test_the_mean_is_one_and_states_last_as_long_as_stated() -> None:
    path = factor(process(), 1, 200_000.0)
    assert path.mean == pytest.approx(1.0, abs=0.03)
    assert path.mean != 1.0
    mean_factor = (0.5 * 4 + 4.0) / 5
    low = path.values_k == 0.5 / mean_factor
    assert np.all(low | (path.values_k == 4.0 / mean_factor))
    lengths_s = np.diff(np.append(path.starts_s_k, path.duration_s))
    assert lengths_s[low].mean() == pytest.approx(4.0, rel=0.03)
    assert lengths_s[~low].mean() == pytest.approx(1.0, rel=0.03)


def test_of_three_states_each_has_the_share_of_time_of_its_dwell() -> None:
    states = [{"factor": f, "dwell_s": d} for f, d in ((0.0, 1.0), (1.0, 2.0), (3.0, 5.0))]
    path = factor(process(states=states), 1, 200_000.0)
    lengths_s = np.diff(np.append(path.starts_s_k, path.duration_s))
    for state in states:
        stated = np.isclose(path.values_k, state["factor"] / (17 / 8))
        assert lengths_s[stated].sum() / 200_000 == pytest.approx(state["dwell_s"] / 8, rel=0.03)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(5, 100))
def test_a_held_mean_is_one_over_the_phase_itself(client: int, duration_s: float) -> None:
    assert factor(process(hold_mean=True), client, duration_s).mean == pytest.approx(1.0)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8, 1.0])
def test_two_clients_move_together_as_much_as_stated(correlation: float) -> None:
    duration_s = 100_000.0
    times_s = np.arange(0.25, duration_s, 0.5)
    one, two = (factor(process(correlation=correlation), c, duration_s).at(times_s) for c in (1, 2))
    assert np.corrcoef(one, two)[0, 1] == pytest.approx(correlation, abs=0.03)
    # Each alone is as bursty as ever.
    alone = factor(process(), 3, duration_s).at(times_s)
    assert one.std() == pytest.approx(alone.std(), rel=0.05)
    assert one.mean() == pytest.approx(1.0, abs=0.04)


def test_a_longer_phase_begins_like_the_shorter_one() -> None:
    times_s = np.arange(0.0, 30.0, 0.1)
    short, long = (factor(process(correlation=0.5), 1, s).at(times_s) for s in (30.0, 300.0))
    assert np.array_equal(short, long)


def test_a_mean_cannot_be_held_where_nothing_would_arrive() -> None:
    states = [{"factor": 0.0, "dwell_s": 1_000_000.0}, {"factor": 1.0, "dwell_s": 0.001}]
    with pytest.raises(ValueError, match="only states of factor 0 came up"):
        factor(process(states=states, hold_mean=True), 1, 1.0)
