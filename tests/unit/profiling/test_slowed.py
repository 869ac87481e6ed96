"""A device that takes several times as long takes it for every batch, also straight after one."""

from __future__ import annotations

import numpy as np
import pytest

from profiling.profile import BatchLatency, ModelProfile
from support.demo_setting import demo_setting

PROFILES = demo_setting().profiles
MODEL = "rooms-small-all"


def measured(node: str) -> ModelProfile:
    """With medians straight after another batch, of all sizes but the first."""
    profile = PROFILES.find(node, MODEL)
    assert profile is not None
    latency = tuple(
        BatchLatency(
            batch=entry.batch, p50_s=entry.p50_s, p95_s=entry.p95_s, runs=entry.runs,
            straight_p50_s=0.7 * entry.p50_s if entry.batch > 1 else None,
        )
        for entry in profile.latency
    )  # fmt: skip
    return profile.model_copy(update={"latency": latency})


@pytest.mark.parametrize("size", [1, 2, 3, 8, 16, 40])
def test_every_time_of_a_batch_grows(size: int) -> None:
    profile = measured("edge-0")
    slow = profile.slowed(3.0)
    assert slow.batch_s(size) == pytest.approx(3.0 * profile.batch_s(size))
    assert slow.straight_batch_s(size) == pytest.approx(3.0 * profile.straight_batch_s(size))
    assert slow.setup_s == pytest.approx(3.0 * profile.setup_s)
    assert [entry.p95_s for entry in slow.latency] == pytest.approx(
        [3.0 * entry.p95_s for entry in profile.latency]
    )
    assert slow.latency[0].straight_p50_s is None
    assert slow.resident_bytes == profile.resident_bytes


def test_only_the_nodes_that_are_named_are_slower() -> None:
    slow = PROFILES.slowed({"edge-0": 2.0})
    for before, after in zip(PROFILES.profiles, slow.profiles, strict=True):
        factor = 2.0 if before.node == "edge-0" else 1.0
        assert after.batch_s(4) == pytest.approx(factor * before.batch_s(4))
        assert slow.find(after.node, after.model) == after


def test_many_sizes_take_what_each_takes() -> None:
    profile = measured("cloud")
    size_q = np.array([1, 40, 3, 3, 16, 1], dtype=np.int32)
    expected = [profile.batch_s(int(size)) for size in size_q]
    np.testing.assert_array_equal(profile.batches_s(size_q), expected)
    assert profile.batches_s(size_q[:0]).shape == (0,)
