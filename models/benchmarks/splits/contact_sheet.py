"""Contact sheets: pictures and their labels (or answers) side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from models.benchmarks.splits.interface import Sample
from models.tasks import TASKS

__all__ = ["contact_sheet"]

GAP_PX = 3


def contact_sheet(samples: Sequence[Sample], sheet_columns: int = 1) -> np.ndarray:
    """(H, W, 3) uint8: per sample a strip of the picture and one panel a label."""
    strips = []
    for sample in samples:
        height = sample.image.shape[0]
        panels = [sample.image]
        panels += [
            _of_height(TASKS[task].render(label), height) for task, label in sample.labels.items()
        ]
        strips.append(_join([_frame(panel) for panel in panels], axis=1))
    height, width = strips[0].shape[:2]
    rows = -(-len(strips) // sheet_columns)
    sheet = np.full((rows * height, sheet_columns * width, 3), 255, np.uint8)
    for position, strip in enumerate(strips):
        row, column = divmod(position, sheet_columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = strip
    return sheet


def _of_height(panel: np.ndarray, height: int) -> np.ndarray:
    if panel.shape[0] == height:
        return panel
    width = max(1, round(panel.shape[1] * height / panel.shape[0]))
    return np.asarray(Image.fromarray(panel).resize((width, height)))


def _frame(panel: np.ndarray) -> np.ndarray:
    return np.pad(panel, ((GAP_PX, GAP_PX), (GAP_PX, GAP_PX), (0, 0)), constant_values=255)


def _join(panels: Sequence[np.ndarray], axis: int) -> np.ndarray:
    return np.concatenate(panels, axis=axis)
