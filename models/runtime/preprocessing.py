"""From a picture of a network's size to its input, by the card: one code for training and serving.

Axes: `b` images, `h` rows, `w` columns, `3` colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["normalisation", "normalise", "standardise"]


def normalisation(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """(scale, shift), float32 by colour: a uint8 value v becomes v * scale + shift."""
    scale = torch.tensor([1 / (255 * s) for s in std])
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)])
    return scale, shift


def standardise(image_bhw3: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """(b, h, w, 3) uint8 RGB to (b, 3, h, w) float32, channels-last in memory."""
    return (image_bhw3.to(torch.float32) * scale + shift).permute(0, 3, 1, 2)


def normalise(image_bhw3: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """`standardise` by a card's `mean` and `std`, on the tensor's device."""
    scale, shift = normalisation(mean, std)
    return standardise(image_bhw3, scale.to(image_bhw3.device), shift.to(image_bhw3.device))
