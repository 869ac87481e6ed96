"""3D boxes out of a dense map, as CenterNet does: heat where a box's centre is seen, and at that
cell what is needed to place the box; its loss and its decoding.

Raw channels: heat logit, offset right, offset down [cells], log distance ahead, log length,
log width, log height, sine and cosine of the heading against the line of sight.
Axes: `b` images, `9` raw channels, `n` boxes, `8` box fields, `h` rows and `w` columns of cells.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from models.tasks.task import MOST_BOXES, Task

__all__ = ["RAW_CHANNELS", "boxes_loss", "decode_boxes"]

RAW_CHANNELS = 9
LEAST_CONFIDENCE = 0.1
USUAL_M = (15.0, 4.5, 1.8, 1.6)  # distance, length, width, height at which the logs are 0
BLOB_SHARE = 0.12  # standard deviation of a heat blob as a share of the box's seen height
WEIGHT = 2.0


def decode_boxes(raw_b9hw: Tensor, task: Task) -> Tensor:
    """(b, MOST_BOXES, 8) float16 answers: the strongest peaks, unused rows zero."""
    heat = raw_b9hw[:, 0].sigmoid()
    peak = heat * (heat == max_pool2d(heat[:, None], 3, 1, 1)[:, 0])
    width = raw_b9hw.shape[3]
    confidence, cell = peak.flatten(1).topk(MOST_BOXES, dim=1)
    found = raw_b9hw.flatten(2).gather(2, cell[:, None].expand(-1, RAW_CHANNELS, -1))
    half = math.tan(task.field_of_view / 2)
    column = (cell % width).float() + 0.5 + found[:, 1]
    row = torch.div(cell, width, rounding_mode="floor").float() + 0.5 + found[:, 2]
    scale = 2 * half / width
    forward = USUAL_M[0] * found[:, 3].clamp(-4, 4).exp()
    right = forward * scale * (column - width / 2)
    down = forward * scale * (row - raw_b9hw.shape[2] / 2)
    extents = [usual * found[:, 4 + k].clamp(-3, 3).exp() for k, usual in enumerate(USUAL_M[1:])]
    heading = torch.atan2(found[:, 7], found[:, 8]) + torch.atan2(right, forward)
    rows = torch.stack([confidence, right, down, forward, *extents, heading], dim=2)
    return (rows * (confidence >= LEAST_CONFIDENCE)[:, :, None]).to(torch.float16)


def boxes_loss(raw_b9hw: Tensor, label_bn8: Tensor, task: Task) -> Tensor:
    """Focal loss of the heat plus absolute errors of the rest at the true centres' cells."""
    height, width = raw_b9hw.shape[2:]
    box = label_bn8.float()
    real_bn = box[:, :, 0] > 0
    scale = 2 * math.tan(task.field_of_view / 2) / width
    forward = box[:, :, 3].clamp_min(0.5)
    column = box[:, :, 1] / forward / scale + width / 2 - 0.5
    row = box[:, :, 2] / forward / scale + height / 2 - 0.5
    at_column = column.round().clamp(0, width - 1)
    at_row = row.round().clamp(0, height - 1)
    heat = _blobs(at_row, at_column, box[:, :, 6] / forward / scale, real_bn, height, width)
    loss = _focal(raw_b9hw[:, 0], heat)
    sight = torch.atan2(box[:, :, 1], forward)
    turn = box[:, :, 7] - sight
    usual = box.new_tensor(USUAL_M)
    truth = torch.stack(
        [
            column - at_column,
            row - at_row,
            (forward / usual[0]).log(),
            *((box[:, :, 4 + k].clamp_min(0.1) / usual[1 + k]).log() for k in range(3)),
            turn.sin(),
            turn.cos(),
        ],
        dim=1,
    )
    cell = (at_row * width + at_column).long()
    said = raw_b9hw.flatten(2).gather(2, cell[:, None].expand(-1, RAW_CHANNELS, -1))[:, 1:]
    weight = said.new_tensor([0.3, 0.3, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0])[:, None]
    miss = (weight * (said - truth).abs()).sum(dim=1)
    return WEIGHT * (loss + (miss * real_bn).sum() / real_bn.sum().clamp_min(1))


def _blobs(
    row_bn: Tensor, column_bn: Tensor, tall_bn: Tensor, real_bn: Tensor, height: int, width: int
) -> Tensor:
    """(b, h, w) heat: 1 at the centres, Gaussian around them."""
    spread = (BLOB_SHARE * tall_bn).clamp(0.6, 3.0)[:, :, None]
    down = torch.arange(height, device=row_bn.device) - row_bn[:, :, None]
    right = torch.arange(width, device=row_bn.device) - column_bn[:, :, None]
    tall = (-(down**2) / (2 * spread**2)).exp()
    wide = (-(right**2) / (2 * spread**2)).exp()
    return (tall[:, :, :, None] * wide[:, :, None, :] * real_bn[:, :, None, None]).amax(dim=1)


def _focal(logit_bhw: Tensor, heat_bhw: Tensor) -> Tensor:
    """CenterNet's: cells near a centre count less as wrong."""
    chance = logit_bhw.sigmoid().clamp(1e-4, 1 - 1e-4)
    is_center = heat_bhw >= 1
    right = (1 - chance) ** 2 * chance.log()
    wrong = (1 - heat_bhw) ** 4 * chance**2 * (1 - chance).log()
    return -torch.where(is_center, right, wrong).sum() / is_center.sum().clamp_min(1)
