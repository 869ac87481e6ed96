"""The networks: a timm backbone, one small head a task, and for dense tasks a shared decoder.

Axes: `b` images, `3` or `c` channels, `h` rows, `w` columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import Conv2dNormActivation

from models.networks.architectures import Architecture
from models.networks.backbones import make_backbone
from models.tasks import Kind, find_task

__all__ = ["MultiTaskNetwork", "build_network", "count_parameters"]


def build_network(architecture: Architecture, tasks: Sequence[str]) -> MultiTaskNetwork:
    """An untrained network with one head for each of `tasks`. Raises `KeyError` on a bad task."""
    return MultiTaskNetwork(architecture, tuple(tasks))


DROPOUT = 0.1
BOXES_START = -4.0


class MultiTaskNetwork(nn.Module):
    """(b, 3, h, w) normalised pictures to one raw output a task, in task order.

    Dense tasks give (b, channels, h, w) maps from a light top-down decoder that they share;
    categories give (b, classes) scores from the backbone's last level. `h` and `w` are multiples
    of 32, the backbone's largest stride.
    """

    def __init__(self, architecture: Architecture, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.tasks = tasks
        kinds = [find_task(name).kind for name in tasks]
        self.whole = tuple(kind is Kind.CATEGORY for kind in kinds)
        # Levels come at strides 2, 4, 8, ...; those finer than the decoder's are not asked for.
        finest = 4 if all(self.whole) else architecture.stride.bit_length() - 2
        self.backbone, channels = make_backbone(architecture, finest)
        width, stride = architecture.width, architecture.stride
        self.decoder = None
        if not all(self.whole):
            self.decoder = _TopDown(channels, width, architecture.dense)
        self.heads = nn.ModuleDict(
            {
                name: _category_head(name, channels[-1]) if whole else _head(name, width, stride)
                for name, whole in zip(tasks, self.whole, strict=True)
            }
        )

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Raw outputs: class scores, log metres, vectors of any length, logits."""
        levels = self.backbone(picture)
        shared = None if self.decoder is None else self.decoder(levels)
        return tuple(
            self.heads[name](levels[-1] if whole else shared)
            for name, whole in zip(self.tasks, self.whole, strict=True)
        )


class _TopDown(nn.Module):
    """Feature pyramid whose only output is its finest level."""

    def __init__(self, channels: Sequence[int], width: int, dense: bool) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            Conv2dNormActivation(c, width, 1, activation_layer=None) for c in channels
        )
        self.merge = nn.ModuleList(_mix(width, dense) for _ in channels)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        above: Tensor = self.merge[-1](self.lateral[-1](levels[-1]))
        for index in range(len(levels) - 2, -1, -1):
            here = self.lateral[index](levels[index])
            above = self.merge[index](here + interpolate(above, scale_factor=2.0, mode="nearest"))
        return above


def _mix(width: int, dense: bool) -> nn.Module:
    """A 3 x 3 neighbourhood mixed across channels."""
    if dense:
        convolution: nn.Module = Conv2dNormActivation(width, width, 3)
        return convolution
    return nn.Sequential(
        Conv2dNormActivation(width, width, 3, groups=width, activation_layer=None),
        Conv2dNormActivation(width, width, 1),
    )


def _head(task_name: str, width: int, stride: int) -> nn.Module:
    """Map of the decoder's stride to the picture's size: channels are shuffled into pixels."""
    task = find_task(task_name)
    shuffles = task.kind is not Kind.BOXES  # boxes stay at the decoder's stride
    outputs = task.channels * (stride**2 if shuffles else 1)
    last = nn.Conv2d(width, outputs, 1)
    nn.init.normal_(last.weight, std=0.02)
    last.bias = nn.Parameter(torch.full((outputs,), _START.get(task_name, 0.0)))
    shuffle = nn.PixelShuffle(stride) if shuffles else nn.Identity()
    if not shuffles:
        # Few cells hold a centre: start with heat next to none.
        nn.init.constant_(last.bias[:1], BOXES_START)
    return nn.Sequential(_mix(width, dense=False), last, shuffle)


# A head starts at the common answer: 2.7 m deep (streets 12 m), few corners, few edges.
_START = {"depth": 1.0, "keypoints": -4.0, "edges": -2.5, "streets-depth": 2.5}


def _category_head(task_name: str, channels: int) -> nn.Module:
    """Class scores of the whole picture."""
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(DROPOUT)]
    return nn.Sequential(*pooled, nn.Linear(channels, find_task(task_name).channels))


def count_parameters(network: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(parameter.numel() for parameter in network.parameters())
