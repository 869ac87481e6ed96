"""Cityscapes with 3D boxes, in the layout it is published in.

    root/leftImg8bit/SPLIT/CITY/CITY_SEQ_FRAME_leftImg8bit.png
    root/gtFine/SPLIT/CITY/..._gtFine_labelIds.png      class ids of 19 evaluated classes and others
    root/disparity/SPLIT/CITY/..._disparity.png         16 bits, d = (p - 1) / 256 pixels, 0 is none
    root/gtBbox3d/SPLIT/CITY/..._gtBbox3d.json          camera, and boxes in the vehicle's frame

The labels of the official `test` are not public, so the official `val` is the test split here,
and a tenth of `train`, by name, is set aside as `val`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.benchmarks.real.files import read_json, read_levels, read_picture
from models.benchmarks.real.stored import DataError, StoredBenchmark, share_of
from models.benchmarks.splits.interface import Sample
from models.tasks import BOX_FIELDS, MOST_BOXES
from models.tasks.class_lists import CITYSCAPES_IDS
from models.tasks.on_disk import UNLABELLED

__all__ = ["Cityscapes3D"]

FOLDERS = {"train": "train", "val": "train", "test": "val"}
VAL_SHARE = 0.1
PICTURE_END = "_leftImg8bit.png"
VEHICLES = ("car", "truck", "bus", "train", "motorcycle", "bicycle", "caravan", "trailer")
MOST_LEVELS = 256
FARTHEST_M = 500.0
"""beyond it a disparity is smaller than its own error: no label"""
ISO_TO_CAMERA = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], float)
"""from forward, left, up (ISO 8855) to right, down, forward"""


class Cityscapes3D(StoredBenchmark):
    """Cityscapes 3D, as it is published: pictures, label maps, disparities and boxes by city."""

    name = "cityscapes3d"
    native_size = (96, 192)

    @classmethod
    def layout(cls) -> str:
        """See `StoredBenchmark`."""
        return "leftImg8bit, gtFine, disparity and gtBbox3d, each SPLIT/CITY/CITY_SEQ_FRAME_..."

    def _list(self, split: str) -> Sequence[str]:
        top = self.root / "leftImg8bit" / FOLDERS[split]
        if not top.is_dir():
            raise DataError(f"{top}: no such folder; expected {self.layout()}")
        names = [
            f"{FOLDERS[split]}/{path.parent.name}/{path.name.removesuffix(PICTURE_END)}"
            for path in top.glob(f"*/*{PICTURE_END}")
        ]
        if split == "test":
            return names
        return [name for name in names if (share_of(name) < VAL_SHARE) == (split == "val")]

    def _read(self, sample: str) -> Sample:
        paths = {
            folder: self.root / folder / f"{sample}_{ending}"
            for folder, ending in (
                ("leftImg8bit", "leftImg8bit.png"),
                ("gtFine", "gtFine_labelIds.png"),
                ("disparity", "disparity.png"),
                ("gtBbox3d", "gtBbox3d.json"),
            )
        }
        boxes = read_json(paths["gtBbox3d"], "the frame's boxes and camera")
        labels = {
            "cityscapes3d-segmentation": self._classes(paths["gtFine"]),
            "cityscapes3d-depth": self._metres(paths["disparity"], boxes, paths["gtBbox3d"]),
            "cityscapes3d-boxes": box_rows(boxes, paths["gtBbox3d"]),
        }
        return Sample(read_picture(paths["leftImg8bit"], self.size), labels)

    def _classes(self, path: Path) -> np.ndarray:
        table = np.full(MOST_LEVELS, UNLABELLED, np.uint8)
        table[list(CITYSCAPES_IDS.values())] = np.arange(len(CITYSCAPES_IDS))
        class_hw: np.ndarray = table[read_levels(path, "L", self.size)]
        return class_hw

    def _metres(self, path: Path, boxes: dict[str, Any], camera_path: Path) -> np.ndarray:
        stored = read_levels(path, "I;16", self.size).astype(np.float32)
        sensor = _sensor(boxes, camera_path)
        disparity_px = (stored - 1) / 256
        smallest_px = sensor["baseline"] * sensor["fx"] / FARTHEST_M
        seen = disparity_px > smallest_px
        metres = sensor["baseline"] * sensor["fx"] / np.where(seen, disparity_px, 1)
        return np.where(seen, metres, 0).astype(np.float16)


def box_rows(boxes: dict[str, Any], path: Path) -> np.ndarray:
    """(MOST_BOXES, fields) float16 rows of `BOX_FIELDS`: the frame's vehicles, nearest first."""
    from scipy.spatial.transform import Rotation  # .4 s, which every command would wait for

    from_vehicle = np.array(_sensor(boxes, path)["sensor_T_ISO_8855"], float)
    rows = []
    for place, entry in enumerate(boxes.get("objects", ())):
        if entry.get("label") not in VEHICLES:
            continue
        try:
            solid = entry["3d"]
            centre = np.array([*solid["center"], 1.0])
            extents = [float(extent) for extent in solid["dimensions"]]
            w, x, y, z = solid["rotation"]
            turn = Rotation.from_quat([x, y, z, w]).as_matrix()
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: objects.{place}.3d: expected center, dimensions and rotation: {error}"
            ) from None
        right, down, forward = ISO_TO_CAMERA @ from_vehicle @ centre
        ahead = ISO_TO_CAMERA @ from_vehicle[:, :3] @ turn[:, 0]
        heading = np.arctan2(ahead[0], ahead[2])  # 0 forward, positive to the right
        if forward > 0:
            rows.append([1.0, right, down, forward, *extents, heading])
    found = np.zeros((MOST_BOXES, len(BOX_FIELDS)), np.float16)
    rows.sort(key=lambda row: row[3])
    if rows:
        found[: len(rows)] = rows[:MOST_BOXES]
    return found


def _sensor(boxes: dict[str, Any], path: Path) -> dict[str, Any]:
    sensor = boxes.get("sensor")
    wanted = ("sensor_T_ISO_8855", "fx", "baseline")
    if not isinstance(sensor, dict) or not all(key in sensor for key in wanted):
        raise DataError(f"{path}: expected `sensor` with {', '.join(wanted)}")
    return sensor
