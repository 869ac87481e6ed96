"""What batches took while serving corrects their profile, robustly and in bounded steps."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.devices import EmulatedDevice, SlowerThanHere
from profiling.calibrate import BatchTimes, corrected_profiles
from profiling.profile import Emulation, ModelProfile, Profiles
from support.demo_setting import PROVENANCE, demo_setting

SETTING = demo_setting()
NODE = "edge-0"
MODELS = ("rooms-small-all", "rooms-middle-all", "rooms-large-all")


def of(profiles: Profiles, model: str, node: str = NODE) -> ModelProfile:
    found = profiles.find(node, model)
    assert found is not None
    return found


def times(model: str, sizes: list[int], ratio: float, profiles: Profiles) -> BatchTimes:
    """Batches of these sizes, each `ratio` times what the profile says."""
    size_q = np.repeat(sizes, sizes).astype(np.int32)
    stated_s_q = np.array([of(profiles, model).batch_s(int(size)) for size in size_q])
    return BatchTimes(NODE, model, size_q, ratio * stated_s_q)


def corrected(profiles: Profiles, *seen: BatchTimes) -> Profiles:
    return corrected_profiles(profiles, seen, PROVENANCE)


def test_many_batches_move_a_profile_to_what_they_took() -> None:
    before = SETTING.profiles
    seen = times(MODELS[0], [1, 2, 4] * 200, 1.5, before)
    after = corrected(before, seen)
    profile = of(after, MODELS[0])
    for size in (1, 2, 4, 8):
        assert profile.batch_s(size) == pytest.approx(
            1.5 * of(before, MODELS[0]).batch_s(size), rel=0.05
        )
    assert profile.setup_s == pytest.approx(1.5 * of(before, MODELS[0]).setup_s, rel=0.1)
    assert profile.calibration is not None
    assert profile.calibration.batches == pytest.approx(600)
    assert (before.version, after.version) == (1, 2)
    assert of(after, MODELS[0], "cloud") == of(before, MODELS[0], "cloud")


def test_few_batches_prove_little() -> None:
    after = corrected(SETTING.profiles, times(MODELS[0], [1], 1.9, SETTING.profiles))
    ratio = of(after, MODELS[0]).batch_s(1) / of(SETTING.profiles, MODELS[0]).batch_s(1)
    assert 1.0 < ratio < 1.15


def test_stalls_do_not_count() -> None:
    seen = times(MODELS[0], [1] * 100, 1.0, SETTING.profiles)
    seen.spent_s_q[:30] += 2.0
    after = corrected(SETTING.profiles, seen)
    assert of(after, MODELS[0]).batch_s(1) == pytest.approx(
        of(SETTING.profiles, MODELS[0]).batch_s(1)
    )


def test_a_step_is_bounded_and_the_next_one_goes_on() -> None:
    profiles = SETTING.profiles
    true_s = 5.0 * of(profiles, MODELS[0]).batch_s(2)
    reached = []
    for _ in range(4):
        size_q = np.full(400, 2, dtype=np.int32)
        profiles = corrected(profiles, BatchTimes(NODE, MODELS[0], size_q, np.full(400, true_s)))
        reached.append(of(profiles, MODELS[0]).batch_s(2) / true_s)
    assert reached[0] == pytest.approx(2 / 5, rel=0.01)
    assert reached[1] == pytest.approx(4 / 5, rel=0.01)
    assert reached[3] == pytest.approx(1.0, abs=0.1)
    assert profiles.version == 5


def test_a_size_that_was_run_often_gets_a_ratio_of_its_own() -> None:
    slow, quick = (times(MODELS[0], [size] * 300, ratio, SETTING.profiles)
                   for size, ratio in ((1, 1.8), (8, 1.1)))  # fmt: skip
    both = BatchTimes(
        NODE, MODELS[0], np.concatenate([slow.size_q, quick.size_q]),
        np.concatenate([slow.spent_s_q, quick.spent_s_q]),
    )  # fmt: skip
    after, before = (
        of(corrected(SETTING.profiles, both), MODELS[0]),
        of(SETTING.profiles, MODELS[0]),
    )
    assert after.batch_s(1) / before.batch_s(1) == pytest.approx(1.8, abs=0.08)
    assert after.batch_s(8) / before.batch_s(8) == pytest.approx(1.1, abs=0.08)
    medians_s = [entry.p50_s for entry in after.latency]
    assert medians_s == sorted(medians_s)


def test_models_that_did_not_run_follow_those_that_did_on_their_node() -> None:
    seen = [times(model, [1] * 400, 1.5, SETTING.profiles) for model in MODELS[:2]]
    after = corrected(SETTING.profiles, *seen)
    ratio = of(after, MODELS[2]).batch_s(4) / of(SETTING.profiles, MODELS[2]).batch_s(4)
    assert ratio == pytest.approx(1.5, abs=0.02)
    assert of(after, MODELS[2], "client-0") == of(SETTING.profiles, MODELS[2], "client-0")


def test_an_emulated_device_keeps_its_stated_times() -> None:
    emulated = tuple(
        profile.model_copy(
            update={
                "emulated": Emulation(
                    device=EmulatedDevice(emulate=SlowerThanHere(slower_than_here=2.0)),
                    host_latency=profile.latency, source="stated",
                )
            }
        )
        for profile in SETTING.profiles.profiles
    )  # fmt: skip
    profiles = SETTING.profiles.model_copy(update={"profiles": emulated})
    after = corrected(profiles, times(MODELS[0], [1] * 400, 1.5, profiles))
    assert after.profiles == profiles.profiles


def test_a_corrected_file_comes_back(tmp_path: object) -> None:
    after = corrected(SETTING.profiles, times(MODELS[0], [1] * 50, 1.5, SETTING.profiles))
    assert Profiles.model_validate_json(after.model_dump_json()) == after
