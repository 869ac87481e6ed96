"""A sample measured again: which models, and when a median has drifted."""

from __future__ import annotations

import pytest

from cluster.errors import InputError
from cluster.specs import SPECS
from cluster.topology import Topology
from profiling.verify import VerifySample, find_drift, pick_sample
from support.demo_setting import demo_setting
from support.measured_models import measured_batch, measured_model, measured_profiles

TOPOLOGY = Topology.load(SPECS / "demo.yaml")
MODELS = ("rooms-small-depth", "rooms-small-edges", "rooms-small-normals", "rooms-large-all")
TIMES_S = (0.010, 0.005, 0.020, 0.040)


def test_the_quickest_the_slowest_and_one_between_are_measured_again() -> None:
    measured = [
        measured_model(model, setup_s=setup_s)
        for model, setup_s in zip(MODELS, TIMES_S, strict=True)
    ]
    samples = pick_sample(measured_profiles(TOPOLOGY, *measured))
    assert [sample.then.model for sample in samples] == [MODELS[1], MODELS[2], MODELS[3]]
    assert {sample.sizes for sample in samples} == {(1, 8)}


def test_few_models_are_all_taken_and_once() -> None:
    for count in (1, 2):
        measured = [measured_model(model) for model in MODELS[:count]]
        samples = pick_sample(measured_profiles(TOPOLOGY, *measured))
        assert sorted(sample.then.model for sample in samples) == sorted(MODELS[:count])


def test_each_node_that_was_measured_on_has_a_sample() -> None:
    measured = [measured_model(MODELS[0], node) for node in ("edge-0", "cloud")]
    samples = pick_sample(measured_profiles(TOPOLOGY).model_copy(update={"measured": measured}))
    assert [sample.then.measured_on for sample in samples] == ["edge-0", "cloud"]


def test_a_file_without_measurements_cannot_be_verified() -> None:
    with pytest.raises(InputError, match=r"no measurements to compare with.*without --verify"):
        pick_sample(demo_setting().profiles)


@pytest.mark.parametrize(
    ("ratio", "half", "drifted"),
    [
        (1.0, 0.02, False),
        (1.08, 0.001, False),  # certain, and of no consequence
        (1.3, 0.02, True),
        (0.7, 0.02, True),
        (1.3, 0.25, False),  # too uncertain to say
    ],
)
def test_a_median_drifts_if_it_moves_far_and_surely(
    ratio: float, half: float, drifted: bool
) -> None:
    then = measured_model(MODELS[0], setup_s=0.008, marginal_s=0.002)
    now = measured_batch(1, 0.010 * ratio, half=half)
    (drift,) = find_drift(VerifySample(then, (1, 8)), [now])
    assert drift.ratio == pytest.approx(ratio)
    assert drift.drifted is drifted
    assert (drift.model, drift.measured_on, drift.then.batch) == (MODELS[0], "edge-0", 1)
