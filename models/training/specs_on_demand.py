"""Specs of models that do not ship: data sets on disk, and large networks for GPUs (no torch).

Any name BENCHMARK-SIZE-SUBSET of a benchmark, a size class and a task (or `all`) is one:
`pacs-large-all`, `domainnet-resnet50-real`, `rooms-convnext-all`. A small, middle or large network
for a data set on disk is trained like the benchmark's that it stands in for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.networks.architectures import ARCHITECTURES, COUNTERPARTS, LARGE
from models.tasks import tasks_of
from models.training.specs import SPECS, TrainingSpec, find_spec, specs_of

__all__ = ["find_trainable", "is_shipped", "large_specs", "trainable_of"]

BENCHMARKS = ("rooms", "domains", "streets", *COUNTERPARTS)
DATA_IMAGES, DATA_TEST_IMAGES = 8_000, 2_000
"""pictures of a data set on disk, for networks that a CPU trains"""
LARGE_SETTINGS: dict[str, Any] = {
    "steps": 20_000, "seed": 41, "learning_rate": 1e-3, "batch": 64,
    "train_images": 50_000, "test_images": 2_000,
}  # fmt: skip
LARGE_SIZE = {"streets": (256, 512)}
USUAL_LARGE_SIZE = (224, 224)


def is_shipped(spec: TrainingSpec) -> bool:
    """Whether the spec is one of the package's own zoo, unchanged."""
    return SPECS.get(spec.name) == spec


def find_trainable(name: str) -> TrainingSpec:
    """The spec called `name`, shipped or not. Raises `KeyError` with near names of those that
    ship."""
    if name in SPECS:
        return SPECS[name]
    for benchmark in sorted(BENCHMARKS, key=len, reverse=True):
        if not name.startswith(f"{benchmark}-"):
            continue
        rest = name.removeprefix(f"{benchmark}-")
        for size_class in _size_classes(benchmark):
            subset = rest.removeprefix(f"{size_class}-")
            if subset != rest and (tasks := _tasks(benchmark, subset)):
                return _spec(benchmark, size_class, subset, tasks)
    return find_spec(name)


def trainable_of(benchmark: str | None) -> list[TrainingSpec]:
    """The specs that ship, or those of `benchmark`; for a data set on disk one of each size that a
    CPU trains."""
    if benchmark not in COUNTERPARTS:
        return specs_of(benchmark)
    sizes = [size for size in _size_classes(benchmark) if size not in LARGE]
    return [_spec(benchmark, size, "all", tasks_of(benchmark)) for size in sizes]


def large_specs() -> list[TrainingSpec]:
    """All tasks of each procedural benchmark on each large network."""
    return [
        _spec(benchmark, size_class, "all", tasks_of(benchmark))
        for benchmark in BENCHMARKS
        if benchmark not in COUNTERPARTS
        for size_class in LARGE
    ]


def _size_classes(benchmark: str) -> list[str]:
    own = COUNTERPARTS.get(benchmark, benchmark)
    classes = [*(size for name, size in ARCHITECTURES if name == own), *LARGE]
    return sorted(classes, key=len, reverse=True)  # "convnext-base" before "convnext"


def _tasks(benchmark: str, subset: str) -> tuple[str, ...]:
    known = tasks_of(benchmark)
    if subset == "all":
        return known
    return tuple(task for task in known if task in (subset, f"{benchmark}-{subset}"))


def _spec(benchmark: str, size_class: str, subset: str, tasks: tuple[str, ...]) -> TrainingSpec:
    name = f"{benchmark}-{size_class}-{subset}"
    own = COUNTERPARTS.get(benchmark, benchmark)
    if size_class in LARGE:
        return TrainingSpec(
            name=name,
            size_class=size_class,
            tasks=tasks,
            benchmark=benchmark,
            size=LARGE_SIZE.get(own, USUAL_LARGE_SIZE),
            **LARGE_SETTINGS,
        )
    like = replace(SPECS[f"{own}-{size_class}-all"], emphasis={}, teacher="")
    if benchmark in COUNTERPARTS:
        like = replace(like, train_images=DATA_IMAGES, test_images=DATA_TEST_IMAGES)
    return replace(like, name=name, tasks=tasks, benchmark=benchmark)
