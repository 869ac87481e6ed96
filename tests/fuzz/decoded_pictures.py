"""Pictures: decoded within the memory and time that is promised, or refused. This needs torch."""

from __future__ import annotations

import warnings
from contextlib import suppress
from functools import partial

import numpy as np
import torch

from fuzz.pictures import make
from fuzz.target import Target, bounded
from models.runtime.image_bodies import decode_image
from models.runtime.picture_header import MAX_PASSES, ImageError, read_header
from models.zoo.cards import Preprocessing

__all__ = ["DECODED_PICTURES"]

torch.set_num_threads(1)
CARDS = [
    Preprocessing(height=24, width=32, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation=how)
    for how in ("bilinear", "nearest")
]
MEMORY_PER_BYTE, MEMORY_FREE_BYTES = 8, 20 * 2**20
"""8 and 12 MiB are promised for the picture; the rest is the decoder's and the small copies'"""
FREE_S, S_PER_PASS = 0.2, 5.0 / MAX_PASSES


def check(body: bytes) -> None:
    """A picture is decoded to the card's size, or refused."""
    most_s = FREE_S
    with suppress(ImageError):
        header = read_header(body)
        most_s += S_PER_PASS * min(MAX_PASSES, header.pixels * header.scans)
    for card in CARDS:
        with suppress(ImageError), warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", UserWarning)  # so Pillow calls what is odd but readable
            image = bounded(
                partial(decode_image, body, card),
                most_s=most_s,
                most_bytes=MEMORY_PER_BYTE * len(body) + MEMORY_FREE_BYTES,
            )
            assert image.shape == (24, 32, 3)
            assert image.dtype == np.uint8


DECODED_PICTURES = Target("decoded_pictures", make, check, folder="pictures")
