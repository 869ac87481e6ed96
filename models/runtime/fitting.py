"""A decoded picture at a network's size, by the card: one code for training and serving.

torch is imported where a picture is stretched, and not before: nodes without models have none.
"""

from __future__ import annotations

import numpy as np

from models.zoo.cards import Preprocessing

__all__ = ["fit"]

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
    import torch
    from torch.nn.functional import interpolate

    # As torchvision's `resize` calls it; torchvision itself takes 170 MB of a process.
    picks = preprocessing.interpolation == "nearest"
    mode = "nearest-exact" if picks else preprocessing.interpolation
    picture_b3hw = torch.from_numpy(image_bhw3).permute(0, 3, 1, 2)
    together = 1 if picture_b3hw[:, 0].numel() > LARGE_PIXELS else 3
    parts = [
        interpolate(
            colours.to(torch.float32),
            size=size,
            mode=mode,
            align_corners=None if picks else False,
            antialias=not picks,
        )
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        for colours in picture_b3hw.split(together, dim=1)
    ]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    fitted_bhw3: np.ndarray = whole.permute(0, 2, 3, 1).contiguous().numpy()
    return fitted_bhw3
