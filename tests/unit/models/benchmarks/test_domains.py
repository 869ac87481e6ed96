"""`domains`: every kind of thing in every domain, and domains that look unlike each other."""

from __future__ import annotations

import numpy as np
import pytest

from models.benchmarks.domains import Domains
from models.benchmarks.domains.things import THINGS
from models.benchmarks.splits.interface import Sample
from models.tasks import DOMAINS_CLASSES, TASKS, find_task, tasks_of


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    domains = Domains("val")
    return [domains.sample(index) for index in range(240)]


def test_domains_take_turns_and_every_class_comes(samples: list[Sample]) -> None:
    for index, sample in enumerate(samples):
        assert list(sample.labels) == [tasks_of("domains")[index % 6]]
    seen = {int(label.argmax()) for sample in samples for label in sample.labels.values()}
    assert seen == set(range(len(DOMAINS_CLASSES)))
    assert tuple(THINGS) == DOMAINS_CLASSES


def test_each_domain_looks_its_own_way(samples: list[Sample]) -> None:
    by_domain: dict[str, list[np.ndarray]] = {}
    for sample in samples:
        by_domain.setdefault(next(iter(sample.labels)), []).append(sample.image.astype(float))
    color = {d: np.mean([np.ptp(i, axis=2).mean() for i in images])
             for d, images in by_domain.items()}  # fmt: skip
    assert color["sketch"] == color["quickdraw"] == 0
    assert min(color[d] for d in ("real", "painting", "clipart", "infograph")) > 15
    paper = {d: np.mean([(i > 250).all(axis=2).mean() for i in images])
             for d, images in by_domain.items()}  # fmt: skip
    assert paper["quickdraw"] > 0.8
    assert paper["real"] < 0.1
    assert paper["sketch"] < 0.2


def test_the_class_is_named_by_the_largest_share() -> None:
    task = find_task("sketch")
    label = np.zeros(16, np.float16)
    label[4] = 1
    answer = np.full(16, 0.05, np.float16)
    answer[4] = 0.25
    assert task.score(answer, label) == 1.0
    assert task.score(np.roll(answer, 1), label) == 0.0
    with pytest.raises(ValueError, match="shape"):
        task.score(answer[:12], label)


def test_task_names_are_unique_over_benchmarks() -> None:
    assert len(TASKS) == sum(len(tasks_of(b)) for b in {t.benchmark for t in TASKS.values()})
