"""What was measured is found again by all that decides it, and by nothing less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.zoo.registry import find_model
from profiling.cache import MeasurementCache, origin_of
from profiling.conditions import Conditions
from profiling.interference import Interference
from profiling.measured import MeasuredModel, Origin
from profiling.sampling import SamplingRule
from support.measured_models import HARDWARE, VERSIONS, measured_model

MODEL = "rooms-small-depth"


def asked(**other: Any) -> Origin:
    facts: dict[str, Any] = {
        "card": find_model(MODEL), "hardware": HARDWARE, "versions": VERSIONS,
        "sizes": (1, 2, 4, 8, 16), "max_batches": (2, 16), "rule": SamplingRule(),
    }  # fmt: skip
    return origin_of(**{**facts, **other})


def kept(folder: Path, **more: Any) -> MeasuredModel:
    measured = measured_model(MODEL).model_copy(update=more)
    MeasurementCache(folder).keep(measured)
    return measured


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    measured = kept(tmp_path / "new")
    assert MeasurementCache(tmp_path / "new").find(asked()) == measured
    assert MeasurementCache(tmp_path / "new").find(asked(max_batches=(16, 2, 2))) == measured


@pytest.mark.parametrize(
    "other",
    [
        {"card": find_model("rooms-small-edges")},
        {"hardware": HARDWARE.model_copy(update={"threads": 2})},
        {"hardware": HARDWARE.model_copy(update={"accelerator": "a GPU"})},
        {"versions": {**VERSIONS, "torch": "2.10"}},
        {"sizes": (1, 2, 4)},
        {"max_batches": (2, 8)},
        {"rule": SamplingRule(budget_s=9.0)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_anything_else_is_another_measurement(tmp_path: Path, other: dict[str, Any]) -> None:
    kept(tmp_path)
    assert MeasurementCache(tmp_path).find(asked(**other)) is None


def test_a_fresh_cache_only_writes(tmp_path: Path) -> None:
    measured = kept(tmp_path)
    fresh = MeasurementCache(tmp_path, fresh=True)
    assert fresh.find(asked()) is None
    fresh.keep(measured.model_copy(update={"load_s": 7.0}))
    found = MeasurementCache(tmp_path).find(asked())
    assert found is not None
    assert found.load_s == 7.0


def test_a_device_that_was_slowed_by_heat_is_measured_again(tmp_path: Path) -> None:
    kept(tmp_path, conditions=Conditions(throttled=True))
    assert MeasurementCache(tmp_path).find(asked()) is None
    kept(tmp_path, conditions=Conditions(throttled=False))
    assert MeasurementCache(tmp_path).find(asked()) is not None


def test_a_damaged_file_and_no_folder_hold_nothing(tmp_path: Path) -> None:
    kept(tmp_path)
    (file,) = tmp_path.glob("*.json")
    file.write_text(file.read_text()[:100])
    assert MeasurementCache(tmp_path).find(asked()) is None
    nowhere = MeasurementCache(None)
    nowhere.keep(measured_model(MODEL))
    assert nowhere.find(asked()) is None
    (tmp_path / "file").write_text("")
    MeasurementCache(tmp_path / "file").keep(measured_model(MODEL))  # a cache is no result


def test_other_values_are_kept_under_a_key_of_their_own(tmp_path: Path) -> None:
    table = Interference(measured_on="edge-0", rows=(), neighbours_busy={"edge-0": 0.5})
    MeasurementCache(tmp_path).write("beside", table)
    assert MeasurementCache(tmp_path).read("beside", Interference) == table
    assert MeasurementCache(tmp_path).read("beside", MeasuredModel) is None


def test_another_checkpoint_or_input_is_another_model() -> None:
    card = find_model(MODEL)
    taller = card.preprocessing.model_copy(update={"height": 128})
    digests = {
        card.digest,
        card.model_copy(update={"checkpoint_sha256": "0" * 64}).digest,
        card.model_copy(update={"preprocessing": taller}).digest,
    }
    assert len(digests) == 3
    assert card.model_copy(update={"licence": "another"}).digest in digests
