"""The curve of a profile never falls, scales as a whole, and comes back from a file as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluster.specs import SPECS
from cluster.topology import Topology
from profiling.fit import with_latency
from profiling.interference import Interference, neighbours_busy
from profiling.measure import profile_of
from profiling.profile import PAUSE_S, BatchLatency, ModelProfile, Profiles
from support.measured_models import measured_model, measured_profiles

TOPOLOGY = Topology.load(SPECS / "demo.yaml")
MODEL = "rooms-small-depth"
DIPPING_S = {1: 0.010, 2: 0.014, 3: 0.012, 4: 0.020, 8: 0.019}


def dipping() -> ModelProfile:
    latency = tuple(
        BatchLatency(batch=size, p50_s=p50_s, p95_s=p50_s, runs=9, straight_p50_s=0.9 * p50_s)
        for size, p50_s in DIPPING_S.items()
    )
    whole = profile_of(measured_model(MODEL), node="edge-0", measured_on="edge-0", max_batch=16)
    return with_latency(whole, latency)


def test_a_larger_batch_never_takes_less() -> None:
    profile = dipping()
    for times in (profile.batch_s, profile.straight_batch_s):
        taken_s = [times(size) for size in range(1, 20)]
        assert taken_s == sorted(taken_s)
    assert profile.batch_s(3) == 0.014
    assert profile.batch_s(8) == 0.020
    assert profile.batch_s(10) == pytest.approx(0.020 + 2 * profile.marginal_s)
    assert [entry.p50_s for entry in profile.latency] == list(DIPPING_S.values())  # as measured


def test_profiles_are_equal_after_their_curves_were_asked_for() -> None:
    first, second = dipping(), dipping()
    assert first.batch_s(3) == second.batch_s(3)
    assert first == second
    assert first.slowed(2.0).batch_s(3) == pytest.approx(2 * first.batch_s(3))


def test_every_time_of_a_size_scales() -> None:
    entry = measured_model(MODEL).latency[2]
    slow = entry.scaled(3.0)
    for name in ("p50_s", "p95_s", "p99_s", "straight_p50_s", "low_s", "high_s", "first_s"):
        assert getattr(slow, name) == pytest.approx(3 * getattr(entry, name)), name
    assert (slow.batch, slow.runs, slow.settled) == (entry.batch, entry.runs, entry.settled)


def test_a_profile_has_what_plans_use_and_the_file_what_was_measured(tmp_path: Path) -> None:
    measured = measured_model(MODEL)
    busy = neighbours_busy(TOPOLOGY.nodes)
    profiles = measured_profiles(TOPOLOGY, measured).model_copy(
        update={
            "interference": (Interference(measured_on="n", rows=(), neighbours_busy=busy),),
        }
    )
    found = Profiles.load(profiles.save(tmp_path / "profiles.json"))
    assert found == profiles
    assert found.measured == (measured,)
    client, edge = found.find("client-0", MODEL), found.find("edge-0", MODEL)
    assert client is not None
    assert edge is not None
    assert (client.workspace_bytes, edge.workspace_bytes) == (400_000, 3_000_000)
    assert type(edge.latency[0]) is BatchLatency
    assert edge.fit is not None
    assert edge.fit.marginal_low_s == pytest.approx(0.002, rel=1e-3)
    assert edge.setup_s == pytest.approx(0.005, rel=1e-3)


def test_a_measurement_whose_sizes_do_not_rise_is_refused() -> None:
    data = measured_model(MODEL).model_dump()
    data["latency"] = data["latency"][::-1]
    with pytest.raises(ValueError, match="expected batch sizes that rise"):
        type(measured_model(MODEL)).model_validate(data)


def test_a_batch_takes_less_the_shorter_the_device_was_idle() -> None:
    profile = dipping()
    size_q = np.array([1, 1, 1, 4, 4])
    idle_s_q = np.array([0.0, PAUSE_S / 2, np.inf, 0.0, 3.0])
    np.testing.assert_allclose(
        profile.batches_s(size_q, idle_s_q), [0.009, 0.0095, 0.010, 0.018, 0.020]
    )
    np.testing.assert_allclose(profile.batches_s(size_q), [0.010, 0.010, 0.010, 0.020, 0.020])
