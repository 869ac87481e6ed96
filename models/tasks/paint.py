"""Answers and labels as pictures, one painter a kind of task.

Axes: `h` rows, `w` columns, last axis `3` vector components or colours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

__all__ = [
    "paint_boxes",
    "paint_category",
    "paint_chances",
    "paint_classes",
    "paint_metres",
    "paint_normals",
]

Painter = Callable[[np.ndarray], np.ndarray]
CATEGORY_PX = 96
PLAN_PX = 96
SHOWN = 5
_STOPS = np.array([[18, 22, 70], [44, 110, 160], [150, 200, 140], [250, 220, 110]], np.float32)


def paint_classes(palette_k3: np.ndarray) -> Painter:
    """A painter of class ids in the palette's colours."""
    return lambda id_hw: palette_k3[id_hw]


def paint_metres(far_m: float) -> Painter:
    """A painter of depths: near is warm, `far_m` and beyond dark blue."""

    def paint(depth_hw: np.ndarray) -> np.ndarray:
        near = 1 - np.clip(depth_hw.astype(np.float32) / far_m, 0, 1)
        place = near * (len(_STOPS) - 1)
        low = np.minimum(place.astype(int), len(_STOPS) - 2)
        part = (place - low)[..., None]
        color: np.ndarray = _STOPS[low] * (1 - part) + _STOPS[low + 1] * part
        return color.astype(np.uint8)

    return paint


def paint_normals(vector_hw3: np.ndarray) -> np.ndarray:
    """The usual colours: right is red, up is green, towards the camera is blue."""
    signed = vector_hw3.astype(np.int16) * np.array([1, -1, -1], np.int16)
    return np.clip(signed + 128, 0, 255).astype(np.uint8)


def paint_boxes(far_m: float) -> Painter:
    """A painter of 3D boxes from above: the camera below in the middle, `far_m` at the top."""

    def paint(box_n8: np.ndarray) -> np.ndarray:
        sheet = Image.new("RGB", (PLAN_PX, PLAN_PX), (32, 36, 44))
        pen = ImageDraw.Draw(sheet)
        scale = PLAN_PX / far_m
        for metres in range(10, int(far_m), 10):
            pen.line((0, PLAN_PX - metres * scale, PLAN_PX, PLAN_PX - metres * scale), (60, 66, 78))
        for box in box_n8[box_n8[:, 0] > 0].astype(float)[::-1]:
            confidence, right, _, forward, length, width, _, heading = box
            ahead = np.array([np.sin(heading), np.cos(heading)]) * length / 2
            aside = np.array([np.cos(heading), -np.sin(heading)]) * width / 2
            ends = [ahead + aside, ahead - aside, -ahead - aside, -ahead + aside]
            corners = [
                (PLAN_PX / 2 + scale * (right + x), PLAN_PX - scale * (forward + y))
                for x, y in ends
            ]
            shade = round(70 + 185 * confidence)
            pen.polygon(corners, outline=(shade, shade, 80))
            pen.line(corners[:2], fill=(255, 90, 60))
        return np.array(sheet)

    return paint


def paint_category(class_names: Sequence[str]) -> Painter:
    """A painter of class shares: the most probable classes as named bars."""

    def paint(share_k: np.ndarray) -> np.ndarray:
        sheet = Image.new("RGB", (CATEGORY_PX, CATEGORY_PX), (255, 255, 255))
        pen = ImageDraw.Draw(sheet)
        for line, k in enumerate(np.argsort(-share_k.astype(float), kind="stable")[:SHOWN]):
            top = line * (CATEGORY_PX // SHOWN)
            length = round(float(share_k[k]) * (CATEGORY_PX - 1))
            pen.rectangle((0, top + 13, length, top + 17), fill=(44, 110, 160))
            pen.text((1, top), f"{class_names[k]} {float(share_k[k]):.2f}", fill=(20, 20, 30))
        return np.array(sheet)

    return paint


def paint_chances(chance_hw: np.ndarray) -> np.ndarray:
    """Grey, white where certain."""
    return np.repeat(chance_hw[..., None].astype(np.uint8), 3, axis=2)
