"""Labelled images of a benchmark, encoded once before the run as clients would send them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cluster.errors import InputError

__all__ = ["LabelledImages", "load_images"]


class _Sample(Protocol):
    image: NDArray[np.uint8]
    labels: Mapping[str, NDArray[Any]]


class _Dataset(Protocol):
    def __len__(self) -> int: ...

    def sample(self, index: int) -> Any:
        """An object with `image` (h, w, 3) uint8 and `labels` by task, see `_Sample`."""
        ...


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images with the true answers of their tasks; position i is image i of a schedule."""

    images: tuple[NDArray[np.uint8], ...]
    """each (h, w, 3)"""
    bodies: tuple[bytes, ...]
    """the same as PNG"""
    labels: tuple[Mapping[str, NDArray[Any]], ...]

    def __len__(self) -> int:
        return len(self.bodies)

    @property
    def labelled(self) -> dict[str, list[int]]:
        """For each task, the positions of the images that have its label."""
        found: dict[str, list[int]] = {}
        for position, labels in enumerate(self.labels):
            for task in labels:
                found.setdefault(task, []).append(position)
        return found


def load_images(
    datasets: Sequence[_Dataset], count: int, on_progress: Callable[[int, int], None] | None = None
) -> LabelledImages:
    """`count` images: the first of every data set, an equal number of each (to one).

    Raises `InputError` if a data set has fewer than its part.
    """
    images, bodies, labels = [], [], []
    for number, dataset in enumerate(datasets):
        part = count * (number + 1) // len(datasets) - count * number // len(datasets)
        if not 0 < part <= len(dataset):
            most = len(datasets) * len(dataset)
            raise InputError(
                f"asked for {part} labelled images, the data set has {len(dataset)}; --images "
                f"{most} takes all"
                if part
                else f"--images {count}: too few for all data sets"
            )
        for index in range(part):
            sample: _Sample = dataset.sample(index)
            images.append(sample.image)
            bodies.append(_encode_png(sample.image))
            labels.append(sample.labels)
            if on_progress is not None:
                on_progress(len(images), count)
    return LabelledImages(tuple(images), tuple(bodies), tuple(labels))


def _encode_png(image: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    # Level 1: the generator shares its cores with the system; smaller files are not the point.
    Image.fromarray(image).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()
