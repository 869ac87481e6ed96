"""The on-disk cache of rendered splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.benchmarks.registry import open_benchmark
from models.benchmarks.rooms import Rooms
from models.benchmarks.splits.rendered import cache_folder, rendered_split

SMALL = Rooms("val", size=(32, 32), count=5)


def test_a_split_is_rendered_once_and_equals_its_samples(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    split = rendered_split(SMALL, folder=tmp_path, on_progress=lambda *p: seen.append(p))
    assert seen == [(5, 5)]
    assert len(split) == 5
    sample = SMALL.sample(3)
    assert np.array_equal(split.image_nhw3[3], sample.image)
    assert all(np.array_equal(split.labels[task][3], sample.labels[task]) for task in SMALL.tasks)
    rendered_split(SMALL, folder=tmp_path, on_progress=lambda *p: seen.append(p))
    assert len(seen) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_parallel_rendering_gives_the_same_arrays(tmp_path: Path) -> None:
    one = rendered_split(SMALL, folder=tmp_path / "one")
    two = rendered_split(SMALL, folder=tmp_path / "two", workers=2)
    assert np.array_equal(one.image_nhw3, two.image_nhw3)


def test_the_cache_lies_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("rooms") == tmp_path / "j3o-testbed" / "rooms"


def test_a_sample_without_a_task_is_no_row_of_it(tmp_path: Path) -> None:
    split = rendered_split(open_benchmark("domains", "val", (32, 32), count=13), folder=tmp_path)
    assert split.rows["real"].tolist() == [0, 6, 12]
    assert split.rows["infograph"].tolist() == [5, 11]
    assert (split.labels["sketch"].sum(axis=1) > 0).nonzero()[0].tolist() == [3, 9]
