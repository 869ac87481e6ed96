"""A shift of the mix is found by its odds, and a mix that stays is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.replan.estimate.mix_change import MixLook, looks_since_mix_change

MEMORY_S = 300.0
KNOWN = {"depth": 240.0, "edges": 60.0}


def found(*latest: dict[str, int], scatter: float = 1.0, known: dict[str, float] = KNOWN) -> int:
    """Whether `latest` are taken for another mix than that of 300 queries in 30 s before them."""
    looks: list[MixLook] = [(1.0, queries, scatter) for queries in latest]
    kept = [np.exp(-age / MEMORY_S) for age in range(len(latest))][::-1]
    counts = {
        task: before + sum(k * q.get(task, 0) for k, q in zip(kept, latest, strict=True))
        for task, before in known.items()
    }
    return looks_since_mix_change(looks, counts, MEMORY_S, spared=len(latest))


def test_a_mix_that_turns_round_is_found_within_two_seconds() -> None:
    turned = {"depth": 2, "edges": 8}
    assert found(turned) == 0
    assert found(turned, turned) == 2


def test_it_is_dated_to_when_it_began() -> None:
    calm, turned = {"depth": 8, "edges": 2}, {"depth": 2, "edges": 8}
    assert found(calm, calm, calm, turned, turned, turned) == 3


def test_a_small_shift_is_found_in_the_end() -> None:
    """.8 to .65 at ten queries a second, where the mix is known well."""
    slightly = [{"depth": 6, "edges": 4}, {"depth": 7, "edges": 3}] * 15
    well = {"depth": 2400.0, "edges": 600.0}
    assert found(*slightly[:4], known=well) == 0
    assert found(*slightly, known=well) > 20


def test_queries_that_come_in_groups_count_for_fewer() -> None:
    turned = {"depth": 2, "edges": 8}
    assert found(turned, turned, scatter=5.0) == 0


def test_of_a_mix_that_is_hardly_known_nothing_is_a_shift() -> None:
    turned = {"depth": 2, "edges": 8}
    assert found(turned, turned, known={"depth": 2.0, "edges": 1.0}) == 0
    assert looks_since_mix_change([(1.0, turned, 1.0)], dict(turned), MEMORY_S, spared=0) == 0
    assert looks_since_mix_change([], {}, MEMORY_S, spared=3) == 0


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_mix_that_stays_is_taken_for_another_once_in_a_hundred_thousand_starts(
    share: float,
) -> None:
    """Ville's inequality: of 20,000 starts with 12 looks each, .2 are expected at most."""
    random = np.random.default_rng(5)
    false = 0
    for _ in range(20_000 // 20):
        known_qps = random.binomial(300, share)
        seen = random.binomial(10, share, 12)
        looks = [{"depth": int(n), "edges": int(10 - n)} for n in seen]
        false += found(*looks, known={"depth": known_qps, "edges": 300.0 - known_qps}) > 0
    assert false == 0


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 10**6)), max_size=5),
    st.floats(0.0, 1e6),
)
def test_no_counts_whatever_are_too_much_for_it(
    latest: list[dict[str, int]], scatter: float
) -> None:
    assert 0 <= found(*latest, scatter=scatter, known={"a": 0.0, "b": 3.0, "c": 1e6}) <= 5
