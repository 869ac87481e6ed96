"""What can be trained: every model of the zoo (no torch)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.errors import UnknownNameError
from models.networks.architectures import Architecture, find_architecture
from models.tasks import tasks_of

__all__ = [
    "SPECS",
    "TrainingSpec",
    "find_spec",
    "specs_of",
]


@dataclass(frozen=True)
class TrainingSpec:
    """Everything that decides a trained model; the same spec gives the same bits on one machine."""

    name: str
    size_class: str
    tasks: tuple[str, ...]
    steps: int
    seed: int
    learning_rate: float
    batch: int = 24
    weight_decay: float = 0.02
    benchmark: str = "rooms"
    train_images: int = 3_000
    test_images: int = 500
    size: tuple[int, int] = (96, 96)
    emphasis: Mapping[str, float] = field(default_factory=dict)
    """weight of a task's loss where it is not 1"""
    dice_by_picture: bool = False
    """whether segmentation's Dice is taken picture by picture (`models.training.losses`)"""
    teacher: str = ""
    """model of the zoo whose answers are learnt beside the labels
    (`models.training.distillation`)"""

    @property
    def architecture(self) -> Architecture:
        """The size class's architecture."""
        return find_architecture(self.benchmark, self.size_class)


_ROOMS_SETS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in tasks_of("rooms")},
    "all": tasks_of("rooms"),
    "geometry": ("depth", "normals"),
    "layout": ("segmentation", "edges"),
    "outline": ("keypoints", "edges"),
    "shapes": ("segmentation", "keypoints", "edges"),
}


def _rooms(
    size_class: str, subset: str, steps: int, seed: int, learning_rate: float, **other: Any
) -> TrainingSpec:
    name = f"rooms-{size_class}-{subset}"
    return TrainingSpec(name, size_class, _ROOMS_SETS[subset], steps, seed, learning_rate, **other)


_ROOMS_LONG: dict[str, Any] = {"train_images": 16_000, "dice_by_picture": True}
"""how the models with all tasks are trained that are worth an hour"""

_DOMAINS_SETS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in tasks_of("domains")},
    "filled": ("real", "painting"),
    "flat": ("clipart", "infograph"),
    "lines": ("sketch", "quickdraw"),
    "outlined": ("clipart", "quickdraw"),
    "all": tasks_of("domains"),
}


def _domains(
    size_class: str, subset: str, steps: int, seed: int, learning_rate: float
) -> TrainingSpec:
    return TrainingSpec(
        f"domains-{size_class}-{subset}", size_class, _DOMAINS_SETS[subset], steps, seed,
        learning_rate, batch=32, benchmark="domains", train_images=24_000, test_images=3_000,
        size=(64, 64),
    )  # fmt: skip


_STREETS_SETS: dict[str, tuple[str, ...]] = {
    "segmentation": ("streets-segmentation",),
    "depth": ("streets-depth",),
    "boxes": ("streets-boxes",),
    "scene": ("streets-segmentation", "streets-depth"),
    "things": ("streets-segmentation", "streets-boxes"),
    "space": ("streets-depth", "streets-boxes"),
    "all": tasks_of("streets"),
}


def _streets(
    size_class: str, subset: str, steps: int, seed: int, learning_rate: float, teacher: str = ""
) -> TrainingSpec:
    return TrainingSpec(
        f"streets-{size_class}-{subset}", size_class, _STREETS_SETS[subset], steps, seed,
        learning_rate, benchmark="streets", train_images=2_000, test_images=400, size=(64, 128),
        teacher=teacher,
    )  # fmt: skip


_STREETS_TEACHERS = dict.fromkeys(("things", "all"), "streets-large-all")
"""where learning from the cloud's model was measured to help (docs/models.md)"""

_ALL = (
    *(_rooms("small", subset, 700, 11, 4e-3) for subset in _ROOMS_SETS),
    _rooms("middle", "all", 4_800, 12, 2e-3, emphasis={"segmentation": 3.0}, **_ROOMS_LONG),
    _rooms("middle", "geometry", 800, 12, 2e-3),
    _rooms("large", "all", 3_000, 13, 2e-3, emphasis={"segmentation": 2.0}, **_ROOMS_LONG),
    *(_domains("small", subset, 500, 21, 4e-3) for subset in tasks_of("domains")),
    *(
        _domains("small", subset, 700, 21, 4e-3)
        for subset in ("filled", "flat", "lines", "outlined")
    ),
    _domains("small", "all", 1_200, 21, 4e-3),
    _domains("middle", "all", 1_000, 22, 3e-3),
    _domains("large", "all", 500, 23, 2e-3),
    _streets("large", "all", 300, 33, 2e-3),
    *(
        _streets("small", subset, 220, 31, 4e-3, teacher=_STREETS_TEACHERS.get(subset, ""))
        for subset in _STREETS_SETS
    ),
    *(_streets("middle", subset, 700, 32, 3e-3) for subset in ("all", "scene", "boxes", "space")),
)

SPECS: dict[str, TrainingSpec] = {spec.name: spec for spec in _ALL}


def specs_of(benchmark: str | None) -> list[TrainingSpec]:
    """Every spec, or those of `benchmark`. Raises `UnknownNameError` if there is none."""
    chosen = [spec for spec in SPECS.values() if benchmark in (None, spec.benchmark)]
    if not chosen:
        names = dict.fromkeys(spec.benchmark for spec in SPECS.values())
        raise UnknownNameError(
            f"no model of {benchmark!r} to train; benchmarks: {', '.join(names)}"
        )
    return chosen


def find_spec(name: str) -> TrainingSpec:
    """The spec called `name`. Raises `UnknownNameError` with near names."""
    if name not in SPECS:
        near = difflib.get_close_matches(name, SPECS, n=3, cutoff=0.5)
        told = f"near names: {', '.join(near)}" if near else "`testbed train --list` has them all"
        raise UnknownNameError(f"no model {name!r} to train; {told}")
    return SPECS[name]
