"""How sure a figure of so many queries is, and what batches were like."""

from __future__ import annotations

import numpy as np
import pytest

from serving.verdicts.observed import ServedBy, _idle_before, quantile_margin, share_margin
from support.demo_setting import demo_setting


def test_batches_are_counted_by_their_answers() -> None:
    """Two batches of 1, one of 2 and one of 4: eight answers, of four batches."""
    size_q = np.array([1, 1, 2, 2, 4, 4, 4, 4], dtype=np.int32)
    served = ServedBy("edge-0", "m", size_q, np.full(8, 0.01))
    assert served.batches == pytest.approx(4.0)
    assert served.mean_size == pytest.approx(2.0)
    sizes = np.array([1, 1, 2, 4])
    assert served.size_margin == pytest.approx(1.959964 * sizes.std(ddof=1) / 2.0)


def test_a_stall_does_not_move_the_slowness() -> None:
    size_q = np.ones(100, dtype=np.int32)
    spent_s_q = np.full(100, 0.012)
    spent_s_q[:10] = 3.0
    ratio, margin = ServedBy("edge-0", "m", size_q, spent_s_q).slowness(np.full(100, 0.01))
    assert ratio == pytest.approx(1.2)
    assert margin == 0.0


def test_of_one_batch_nothing_is_sure() -> None:
    served = ServedBy("edge-0", "m", np.array([2, 2], dtype=np.int32), np.array([0.02, 0.02]))
    assert served.size_margin == float("inf")
    assert served.slowness(np.array([0.01, 0.01]))[1] == float("inf")


def test_margins_cover_the_truth_as_often_as_they_should() -> None:
    rng = np.random.default_rng(3)
    shares, tails = [], []
    for _ in range(400):
        hits = rng.random(500) < 0.02
        shares.append(abs(hits.mean() - 0.02) <= share_margin(float(hits.mean()), 500))
        waits_s = rng.exponential(1.0, 2000)
        off = abs(float(np.quantile(waits_s, 0.95)) - np.log(20.0))
        tails.append(off <= quantile_margin(waits_s, 0.95))
    assert 0.93 <= np.mean(shares) <= 1.0
    assert 0.9 <= np.mean(tails) <= 0.99


def test_too_few_values_have_no_high_quantile() -> None:
    assert quantile_margin(np.arange(50.0), 0.99) == float("inf")
    assert quantile_margin(np.array([]), 0.5) == float("inf")
    assert share_margin(0.0, 0) == 1.0
    assert share_margin(0.0, 1000) > 0.0


def test_pauses_before_batches_are_found_from_when_answers_came() -> None:
    """Two answers of one batch, one straight after it, one after half a second."""
    done_s_q = np.array([1.0, 1.001, 1.02, 1.54])
    spent_s_q = np.array([0.04, 0.04, 0.02, 0.02])
    idle_s_q = _idle_before(done_s_q, spent_s_q)
    assert np.all(np.isinf(idle_s_q[:2]))
    np.testing.assert_allclose(idle_s_q[2:], [0.0, 0.5], atol=2e-3)


def test_a_device_that_never_pauses_is_judged_by_batches_that_follow_each_other() -> None:
    """A simulated device is asked for more than it can do: its batches take what the profile says
    of batches straight after one another, and none is said to be off."""
    setting = demo_setting()
    paused = setting.profiles.find("edge-0", "rooms-small-all")
    assert paused is not None
    latency = tuple(
        entry.model_copy(update={"straight_p50_s": 0.6 * entry.p50_s}) for entry in paused.latency
    )
    profile = paused.model_copy(update={"latency": latency})
    size_q = np.ones(100, np.int32)
    spent_s_q = np.full(100, profile.straight_batch_s(1))
    busy = ServedBy(
        "edge-0", "rooms-small-all", size_q, spent_s_q,
        _idle_before(np.cumsum(spent_s_q), spent_s_q),
    )  # fmt: skip
    ratio, _ = busy.slowness(busy.stated_s_q(profile))
    assert ratio == pytest.approx(1.0)
    assert busy.slowness(profile.batches_s(size_q))[0] == pytest.approx(0.6)
