"""Every procedural benchmark: repeatable, disjoint splits, labels in the tasks' form, quick."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest

from models.benchmarks.registry import BENCHMARKS, open_benchmark
from models.benchmarks.splits.interface import Sample
from models.benchmarks.splits.procedural import ProceduralBenchmark
from models.tasks import find_task, tasks_of

COUNT = 12
by_benchmark = pytest.mark.parametrize("name", BENCHMARKS)


@pytest.fixture(scope="module")
def opened() -> dict[str, tuple[ProceduralBenchmark, list[Sample]]]:
    """A little of each benchmark's validation split."""
    splits = {name: BENCHMARKS[name]("val") for name in BENCHMARKS}
    return {name: (s, [s.sample(i) for i in range(COUNT)]) for name, s in splits.items()}


Opened = dict[str, tuple[ProceduralBenchmark, list[Sample]]]


@by_benchmark
def test_a_sample_depends_only_on_split_and_index(name: str, opened: Opened) -> None:
    again = open_benchmark(name, "val", count=COUNT)
    for index in (7, 0):
        wanted, got = opened[name][1][index], again.sample(index)
        assert np.array_equal(wanted.image, got.image)
        assert list(wanted.labels) == list(got.labels)
        assert all(np.array_equal(wanted.labels[t], got.labels[t]) for t in wanted.labels)


@by_benchmark
def test_splits_share_no_picture(name: str) -> None:
    seen = [
        hashlib.sha256(open_benchmark(name, split).sample(index).image.tobytes()).hexdigest()
        for split in BENCHMARKS[name].splits
        for index in range(4)
    ]
    assert len(set(seen)) == len(seen)


@by_benchmark
def test_labels_have_the_form_of_their_tasks(name: str, opened: Opened) -> None:
    benchmark, samples = opened[name]
    assert benchmark.tasks == tasks_of(name)
    assert {task for sample in samples for task in sample.labels} == set(benchmark.tasks)
    for sample in samples:
        assert sample.image.shape == (*benchmark.native_size, 3)
        assert sample.image.dtype == np.uint8
        for task_name, label in sample.labels.items():
            task = find_task(task_name)
            assert label.dtype == task.answer_dtype
            assert label.shape == task.answer_shape(*benchmark.size)
            assert task.score(label, label) == pytest.approx(1.0)


@by_benchmark
def test_another_size_and_bad_requests(name: str) -> None:
    small = open_benchmark(name, "train", (32, 64), count=2)
    assert len(small) == 2
    assert small.sample(1).image.shape == (32, 64, 3)
    assert small.key != open_benchmark(name, "train", (32, 64), count=3).key
    with pytest.raises(IndexError, match="0 to 1"):
        small.sample(2)
    with pytest.raises(ValueError, match="splits: train, val, test"):
        open_benchmark(name, "training")
    with pytest.raises(ValueError, match="from 16 x 16"):
        open_benchmark(name, "train", (8, 8))


def test_an_unknown_benchmark_is_answered_with_near_names() -> None:
    with pytest.raises(KeyError, match="domains"):
        open_benchmark("domain", "test")


@by_benchmark
def test_rendering_is_quick(name: str) -> None:
    benchmark = open_benchmark(name, "train")
    benchmark.sample(0)
    start = time.process_time()
    for index in range(1, 13):
        benchmark.sample(index)
    # 20 ms is the target; the bound is loose because test machines are shared.
    assert (time.process_time() - start) / 12 < 0.06
