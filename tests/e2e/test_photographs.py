"""The tutorial from the demo to photographs of one's own, with photographs that are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.doc_examples import commands_in, example
from support.paths import ROOT
from support.testbed_process import Testbed

PAGE = ROOT / "docs" / "tutorials" / "photographs.md"

# `make drills` runs it: it trains a model and starts a cluster of its own.
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_photographs_of_ones_own_are_trained_on_served_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for kind, red in (("dog", 40), ("horse", 220)):
        folder = tmp_path / "data/pacs/photo" / kind
        folder.mkdir(parents=True)
        for name in ("one", *(f"picture_{n:02d}" for n in range(40))):
            picture = rng.integers(0, 40, (64, 64, 3)).astype(np.uint8)
            picture[..., 0] = red
            Image.fromarray(picture).save(folder / f"{name}.jpg")
    (tmp_path / "photos-demand.yaml").write_text(example(PAGE, "demand"))
    monkeypatch.setenv("J3O_ZOO", str(tmp_path / "my-zoo"))
    monkeypatch.setenv("J3O_DATA", str(tmp_path / "data"))
    bench = Testbed(tmp_path)
    (tmp_path / "my-zoo").mkdir()
    try:
        for block in ("train", "serve", "ask"):
            for command in commands_in(PAGE, block):
                done = bench.run(*command)
                assert done.returncode == 0, f"{command}\n{done.stderr}"
                bench.done[command[0]] = done
    finally:
        bench.run("down", timeout_s=60)
    assert "pacs-small-photo at" in bench.done["ask"].stdout
    assert "0 errors" in bench.done["drive"].stdout
    assert bench.processes() == []
