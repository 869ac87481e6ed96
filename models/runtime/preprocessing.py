"""From a decoded picture to a network's input, by the card: one code for training and serving.

Axes: `b` images, `h` rows, `w` columns, `3` colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from models.zoo.cards import Preprocessing

__all__ = ["fit", "normalisation", "normalise", "standardise"]

_MODES = {
    "nearest": InterpolationMode.NEAREST_EXACT,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
}

LARGE_PIXELS = 2**19
"""from which on one colour after another is fitted: in float32 each takes four times its bytes"""


def fit(image_bhw3: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """(b, h, w, 3) uint8 pictures at the card's height and width; the same array if they are.

    The whole picture is stretched to the size by the card's interpolation, which averages over
    the pixels that fall into one when it shrinks (antialiasing; `nearest` picks one and does
    not). The arithmetic is done in float32 and rounded, so it is the same on every processor.
    """
    size = (preprocessing.height, preprocessing.width)
    if image_bhw3.shape[1:3] == size:
        return image_bhw3
    mode = _MODES[preprocessing.interpolation]
    picture_b3hw = torch.from_numpy(image_bhw3).permute(0, 3, 1, 2)
    together = 1 if picture_b3hw[:, 0].numel() > LARGE_PIXELS else 3
    parts: list[Tensor] = [
        resize(colours.to(torch.float32), list(size), mode, antialias=True)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        for colours in picture_b3hw.split(together, dim=1)
    ]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    return whole.permute(0, 2, 3, 1).contiguous().numpy()


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
