"""From raw head outputs to the answer arrays of `models.tasks`, on the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.networks.box_head import decode_boxes
from models.tasks import Kind, Task

__all__ = ["encode"]

DEEPEST_LOG_M = 6.0  # keeps float16 finite whatever the head says


def _classes(score_bkhw: Tensor) -> Tensor:
    return score_bkhw.argmax(dim=1).to(torch.uint8)


def _metres(log_b1hw: Tensor) -> Tensor:
    return log_b1hw[:, 0].clamp(-DEEPEST_LOG_M, DEEPEST_LOG_M).exp().to(torch.float16)


def _vectors(vector_b3hw: Tensor) -> Tensor:
    return (127 * normalize(vector_b3hw, dim=1)).round().to(torch.int8).permute(0, 2, 3, 1)


def _chances(logit_b1hw: Tensor) -> Tensor:
    return (255 * logit_b1hw[:, 0].sigmoid()).round().to(torch.uint8)


def _shares(score_bk: Tensor) -> Tensor:
    return score_bk.softmax(dim=1).to(torch.float16)


_ENCODERS: dict[Kind, Callable[[Tensor], Tensor]] = {
    Kind.CLASSES: _classes,
    Kind.METRES: _metres,
    Kind.VECTORS: _vectors,
    Kind.CHANCES: _chances,
    Kind.CATEGORY: _shares,
}


def encode(task: Task, output: Tensor) -> Tensor:
    """The answers of a batch from the raw float32 output of the task's head."""
    if task.kind is Kind.BOXES:
        return decode_boxes(output, task)
    return _ENCODERS[task.kind](output)
