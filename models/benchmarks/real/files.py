"""Pictures, label pictures and JSON of a data set, with the path in every complaint.

Pictures are decoded and fitted by the code that serves them; labels take the nearest pixel.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.benchmarks.real.stored import DataError
from models.runtime.resample import nearest
from models.zoo.cards import Preprocessing

__all__ = ["read_json", "read_levels", "read_picture"]


def read_picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 RGB of a PNG or JPEG, stretched to `size` as serving does."""
    from models.runtime.image_bodies import (  # torch, which listing does without
        ImageError,
        decode_image,
    )

    wanted = Preprocessing(height=size[0], width=size[1], mean=(0, 0, 0), std=(1, 1, 1))
    try:
        return decode_image(_content(path, "a picture"), wanted)
    except ImageError as error:
        raise DataError(f"{path}: {error}") from None


def read_levels(path: Path, mode: str, size: tuple[int, int]) -> np.ndarray:
    """Stored values of a label picture at `size`. `mode` is Pillow's: "L" 8 bits, "I;16" 16 bits,
    "RGB" three times 8."""
    wanted = {"L": "8-bit grey", "I;16": "16-bit grey", "RGB": "8-bit RGB"}[mode]
    _content(path, f"a {wanted} PNG", most=0)
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            # Pillow reads some 16-bit files as 32-bit numbers, and palettes hold class ids.
            same = {"L": ("L", "P"), "I;16": ("I;16", "I;16B", "I"), "RGB": ("RGB",)}[mode]
            if picture.mode not in same:
                raise DataError(f"{path}: expected a {wanted} PNG, got mode {picture.mode}")
            level_hw: np.ndarray = nearest(np.array(picture)[None], size)[0]
            return level_hw
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: expected a {wanted} PNG: {error}") from None


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object. `what` says in messages which file it is."""
    try:
        data = json.loads(_content(path, what))
    except ValueError as error:
        raise DataError(f"{path}: expected {what}, not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: expected {what}, got a {type(data).__name__}")
    return data


def _content(path: Path, what: str, most: int | None = None) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(-1 if most is None else most)
    except OSError as error:
        raise DataError(f"{path}: expected {what}: {error.strerror or error}") from None
