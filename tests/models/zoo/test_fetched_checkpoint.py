"""A model whose checkpoint was fetched is the model of its card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.zoo.assembly import load_network
from models.zoo.fetch import PLACE_VARIABLE
from models.zoo.registry import ZOO_FOLDER, ZOO_VARIABLE, find_model


def test_a_network_is_made_of_a_fetched_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = find_model("rooms-small-depth")
    lone = shipped.model_copy(update={"name": "lone-depth"})
    lone.save(tmp_path / "zoo" / "cards" / "lone-depth.yaml")
    monkeypatch.setenv(ZOO_VARIABLE, str(tmp_path / "zoo"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(PLACE_VARIABLE, str(ZOO_FOLDER / "checkpoints"))
    fetched, known = load_network(lone).state_dict(), load_network(shipped).state_dict()
    assert fetched.keys() == known.keys()
    assert all(torch.equal(fetched[name], known[name]) for name in known)
