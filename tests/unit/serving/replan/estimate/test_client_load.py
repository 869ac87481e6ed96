"""One client's estimate: what counts as a change of its load, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.replan.estimate.arrival_counts import NewQueries
from serving.replan.estimate.client_load import ClientLoad
from support.replan_cases import poisson_looks

MIX = {"depth": [12.0], "edges": [8.0]}


def seen(looks: list[dict[str, int]], load: ClientLoad | None = None) -> ClientLoad:
    load = load or ClientLoad()
    for look in looks:
        load = load.after(NewQueries(1.0, look))
    return load


def bursts(seed: int, looks: int, mix: tuple[float, float] = (12.0, 8.0)) -> list[dict[str, int]]:
    """Bursts of two seconds at 3.5 times the mean rate, lulls of five at next to nothing."""
    factors = [3.5, 3.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    rates = {task: [mean * f for f in factors] for task, mean in zip(MIX, mix, strict=True)}
    return poisson_looks(seed, rates, looks)


@pytest.mark.parametrize("seed", range(6))
def test_a_steady_load_has_no_change_within_ten_minutes(seed: int) -> None:
    load = seen(poisson_looks(seed, MIX, 600))
    assert load.changes == 0
    assert load.volume_qps == pytest.approx(20.0, abs=1.2)
    assert 0.75 < load.dispersion.of_a_look < 1.35


def test_a_shift_of_the_mix_is_found_within_three_looks_mostly_and_four_at_worst() -> None:
    needed = []
    for seed in range(20):
        load = seen(poisson_looks(seed, MIX, 60))
        looks = poisson_looks(seed + 100, {"depth": [2.0], "edges": [18.0]}, 4)
        for number, look in enumerate(looks, start=1):
            load = seen([look], load)
            if load.changes:
                assert load.rates_qps["edges"] > load.rates_qps["depth"]
                needed.append(number)
                break
    assert len(needed) == 20
    assert sum(number <= 3 for number in needed) >= 15


@pytest.mark.parametrize("seed", range(5))
def test_a_shift_of_the_mix_is_found_in_the_middle_of_bursts(seed: int) -> None:
    before = seen(bursts(seed, 84))
    after = seen(bursts(seed + 100, 7, mix=(2.0, 18.0)), before)
    assert after.changes == before.changes + 1


@pytest.mark.parametrize("seed", range(5))
def test_bursts_of_a_bursty_client_are_no_change_and_leave_the_mean_alone(seed: int) -> None:
    learnt = seen(bursts(seed, 70))
    later = seen(bursts(seed + 100, 280), learnt)
    assert later.changes == learnt.changes
    assert later.volume_qps == pytest.approx(20.0, rel=0.15)
    assert later.dispersion.of_a_look > 15


@pytest.mark.parametrize("seed", range(5))
def test_the_same_burst_of_a_calm_client_is_a_change(seed: int) -> None:
    calm = seen(poisson_looks(seed, MIX, 120))
    tripled = {task: [3.0 * rates[0]] for task, rates in MIX.items()}
    assert seen(poisson_looks(seed + 100, tripled, 8), calm).changes == 1


def test_a_lull_remembers_the_volume_of_before_for_minutes_and_then_forgets_it() -> None:
    busy = seen(poisson_looks(1, MIX, 200))
    lull = {task: [0.1 * rates[0]] for task, rates in MIX.items()}
    quiet = seen(poisson_looks(2, lull, 30), busy)
    assert quiet.changes >= 1
    assert quiet.volume_qps < 6
    assert 14 < quiet.former_qps <= 20.5
    assert seen(poisson_looks(3, lull, 330), quiet).former_qps < 14


def test_errors_shrink_as_looks_add_up_and_grow_with_dispersion() -> None:
    short, long = seen(poisson_looks(1, MIX, 20)), seen(poisson_looks(1, MIX, 120))
    assert long.volume_error_qps < 0.6 * short.volume_error_qps
    assert seen(bursts(1, 119)).volume_error_qps > 2.5 * long.volume_error_qps


@pytest.mark.parametrize("seed", range(5))
def test_the_stated_error_covers_the_true_volume(seed: int) -> None:
    load = seen(poisson_looks(seed, MIX, 90))
    assert abs(load.volume_qps - 20.0) < 4 * load.volume_error_qps


@given(
    st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(1e-3, 600.0)),
        max_size=60,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_counts_whatever_make_a_rate_or_an_error_negative_or_infinite(
    looks: list[tuple[int, int, float]],
) -> None:
    load = ClientLoad()
    for depth, edges, spent_s in looks:
        load = load.after(NewQueries(spent_s, {"depth": depth, "edges": edges}))
        figures = [
            *load.rates_qps.values(), *load.mix_errors_qps.values(), load.volume_error_qps,
            load.former_qps, load.short_qps, load.dispersion.in_the_long_run - 1.0,
        ]  # fmt: skip
        assert np.isfinite(figures).all()
        assert min(figures) >= 0
    assert ClientLoad.model_validate_json(load.model_dump_json()) == load


def test_a_look_after_longer_than_the_memory_forgets_all_and_no_more() -> None:
    """As of a loop whose process stood still for ten minutes."""
    load = ClientLoad()
    for spent_s in (300.0, 300.0, 300.0, 600.0, 1_200.0, 600.0):
        load = load.after(NewQueries(spent_s, {"depth": 100}))
        assert load.dispersion.of_a_look >= 1.0
        assert all(block.weight >= 1.0 for block in load.dispersion.blocks)


def test_a_burst_in_the_first_three_seconds_shows_at_once() -> None:
    calm, burst = (
        seen([{"depth": count} for count in counts]) for counts in ((20, 25, 16), (20, 90, 10))
    )
    assert calm.dispersion.of_a_look < 2.0
    assert burst.dispersion.of_a_look > 20.0
    assert burst.volume_error_qps > 3.0 * calm.volume_error_qps
