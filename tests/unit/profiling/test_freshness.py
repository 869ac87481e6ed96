"""Profiles that are partial, stale or foreign are refused by the name of what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.errors import InputError
from cluster.specs import SPECS
from cluster.topology import Topology
from models.zoo.registry import find_model
from profiling.freshness import refuse_foreign, refuse_partial, refuse_stale
from profiling.profile import Profiles
from support.demo_setting import demo_setting
from support.measured_models import HARDWARE, measured_model, measured_profiles

TOPOLOGY = Topology.load(SPECS / "demo.yaml")
MODELS = ("rooms-small-depth", "rooms-small-edges")
WHOLE = measured_profiles(TOPOLOGY, *(measured_model(model) for model in MODELS))
CARDS = [find_model(model) for model in MODELS]


def without(**named: Any) -> Profiles:
    left = tuple(
        each
        for each in WHOLE.profiles
        if any(getattr(each, key) != value for key, value in named.items())
    )
    return WHOLE.model_copy(update={"profiles": left})


def test_whole_profiles_of_these_models_on_this_hardware_are_taken() -> None:
    refuse_partial(TOPOLOGY, WHOLE)
    refuse_stale(CARDS, WHOLE)
    refuse_foreign(WHOLE, [HARDWARE])
    refuse_foreign(WHOLE, [HARDWARE.model_copy(update={"threads": 4, "cores": 64})])


def test_files_of_earlier_versions_are_taken_as_they_are() -> None:
    earlier = demo_setting().profiles
    assert earlier.measured == ()
    refuse_partial(TOPOLOGY, earlier)
    refuse_stale(demo_setting().cards, earlier)
    refuse_foreign(earlier, [HARDWARE])


def test_a_node_without_profiles_is_named() -> None:
    with pytest.raises(InputError, match="partial: cloud of topology 'demo' has none; run"):
        refuse_partial(TOPOLOGY, without(node="cloud"))


def test_a_model_that_one_node_lacks_is_named() -> None:
    with pytest.raises(InputError, match="partial: client-1 has none of rooms-small-edges, which"):
        refuse_partial(TOPOLOGY, without(node="client-1", model=MODELS[1]))


def test_a_model_that_was_trained_anew_is_named() -> None:
    anew = CARDS[1].model_copy(update={"checkpoint_sha256": "0" * 64})
    with pytest.raises(InputError, match="rooms-small-edges is stale: the model in the zoo is an"):
        refuse_stale([CARDS[0], anew], WHOLE)
    refuse_stale([CARDS[0]], WHOLE)  # of one that is gone nothing is said


@pytest.mark.parametrize("other", [{"processor": "another one"}, {"accelerator": "a GPU"}])
def test_other_hardware_is_named(other: dict[str, str]) -> None:
    elsewhere = HARDWARE.model_copy(update=other)
    with pytest.raises(InputError, match="foreign: it was measured on a processor, 2 cores, 1 thr"):
        refuse_foreign(WHOLE, [elsewhere])
