"""Kept traces: a model that was loaded once here loads without timm, and answers alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.runtime import kept_traces
from models.runtime.kept_traces import find_trace, kept_path
from models.runtime.model_runtime import ModelRuntime
from models.zoo.checkpoint import CheckpointError
from models.zoo.registry import find_model
from support.paths import ROOT

CARD = find_model("rooms-small-depth")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_the_second_load_imports_no_timm_and_answers_as_the_first(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)
    first = ModelRuntime.load(CARD)
    answers = first.run(pictures)["depth"]
    assert kept_path(CARD).is_file()
    np.save(tmp_path / "pictures.npy", pictures)
    code = (
        "import sys, numpy as np\n"
        "for name in ('timm', 'torchvision', 'huggingface_hub'): sys.modules[name] = None\n"
        "from models.runtime.model_runtime import ModelRuntime\n"
        "from models.zoo.registry import find_model\n"
        f"loaded = ModelRuntime.load(find_model({CARD.name!r}))\n"
        f"answers = loaded.run(np.load({str(tmp_path / 'pictures.npy')!r}))['depth']\n"
        f"np.save({str(tmp_path / 'answers.npy')!r}, answers)\n"
        "print(loaded.weights_bytes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "answers.npy"), answers)
    assert int(done.stdout) == first.weights_bytes


def test_one_that_was_damaged_is_made_anew() -> None:
    made = find_trace(CARD)
    path = kept_path(CARD)
    damaged = bytearray(path.read_bytes())
    damaged[1000] ^= 1
    path.write_bytes(damaged)
    assert find_trace(CARD).shape == made.shape
    again = path.read_bytes()
    assert again != damaged
    assert find_trace(CARD).archive == again[32:]


def test_one_of_other_code_is_made_anew_and_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find_trace(CARD)
    old = kept_path(CARD)
    monkeypatch.setattr(kept_traces, "code_digest", lambda packages: "another")
    assert kept_path(CARD) != old
    find_trace(CARD)
    assert [path.name for path in old.parent.iterdir()] == [kept_path(CARD).name]


def test_a_kept_trace_is_no_way_around_a_checkpoint_that_was_changed(tmp_path: Path) -> None:
    find_trace(CARD)
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"another")
    with pytest.raises(CheckpointError, match="is not the card's"):
        find_trace(CARD, other)


def test_where_nothing_can_be_kept_it_is_made_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert find_trace(CARD).shape == (96, 96, 3)
    assert not kept_path(CARD).exists()
