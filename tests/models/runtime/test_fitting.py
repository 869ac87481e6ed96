"""Pictures are stretched as torchvision does it, which is not imported for it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from models.runtime.fitting import fit
from models.zoo.cards import Preprocessing

MODES = {
    "nearest": InterpolationMode.NEAREST_EXACT,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
}


@pytest.mark.parametrize("size", [(31, 40), (96, 200), (300, 17)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_every_pixel_is_as_torchvision_makes_it(
    interpolation: Literal["nearest", "bilinear", "bicubic"], size: tuple[int, int]
) -> None:
    taken = Preprocessing(
        height=64, width=96, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation=interpolation
    )
    pictures = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
    planes = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(torch.float32)
    resized = resize(planes, [64, 96], MODES[interpolation], antialias=True)
    wanted = resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(fit(pictures, taken), wanted)
