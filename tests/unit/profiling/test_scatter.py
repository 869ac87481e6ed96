"""Times that scatter are kept as a few values that are equally likely."""

from __future__ import annotations

import numpy as np

from profiling.scatter import LEAST_WEIGHT, equally_likely


def test_the_values_have_the_quantiles_of_what_was_seen() -> None:
    seen_q = np.random.default_rng(1).lognormal(0.0, 0.3, 20_000)
    kept = equally_likely(seen_q)
    assert list(kept) == sorted(kept)
    for below in (4, 20, 36):  # of forty values as many lie below a quantile as its level says
        level = below / len(kept)
        assert kept[below - 1] < np.quantile(seen_q, level) < kept[below]


def test_each_counts_by_its_weight() -> None:
    kept = equally_likely(np.array([3.0, 1.0]), np.array([10.0, 30.0]))
    assert kept.count(1.0) == 30
    assert kept.count(3.0) == 10


def test_few_say_nothing() -> None:
    few = int(LEAST_WEIGHT) - 1
    assert equally_likely(np.ones(few)) == ()
    assert set(equally_likely(np.ones(few + 1))) == {1.0}
