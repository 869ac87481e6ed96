"""The networks: a timm backbone, a light shared top-down decoder and one small head a task.

Axes: `b` images, `3` or `c` channels, `h` rows, `w` columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import Conv2dNormActivation

from models.specs import Architecture
from models.tasks import find_task

__all__ = ["DenseNetwork", "build_network", "count_parameters", "normalise"]


def build_network(architecture: Architecture, tasks: Sequence[str]) -> DenseNetwork:
    """An untrained network with one head for each of `tasks`. Raises `KeyError` on a bad task."""
    return DenseNetwork(architecture, tuple(tasks))


class DenseNetwork(nn.Module):
    """(b, 3, h, w) normalised pictures to one (b, channels, h, w) map a task, in task order.

    `h` and `w` are multiples of 32, the backbone's largest stride.
    """

    def __init__(self, architecture: Architecture, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.tasks = tasks
        # Levels come at strides 2, 4, 8, ...; those finer than the decoder's are not asked for.
        levels = tuple(range(architecture.stride.bit_length() - 2, 5))
        self.backbone = timm.create_model(
            architecture.backbone, features_only=True, pretrained=False, out_indices=levels
        )
        feature_info: Any = self.backbone.feature_info
        width, stride = architecture.width, architecture.stride
        self.decoder = _TopDown(feature_info.channels(), width, architecture.dense)
        self.heads = nn.ModuleDict({name: _head(name, width, stride) for name in tasks})

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Raw maps: class scores, log metres, vectors of any length, logits."""
        shared = self.decoder(self.backbone(picture))
        return tuple(self.heads[name](shared) for name in self.tasks)


class _TopDown(nn.Module):
    """Feature pyramid whose only output is its finest level."""

    def __init__(self, channels: Sequence[int], width: int, dense: bool) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            Conv2dNormActivation(c, width, 1, activation_layer=None) for c in channels
        )
        self.merge = nn.ModuleList(_mix(width, dense) for _ in channels)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        above = self.merge[-1](self.lateral[-1](levels[-1]))
        for index in range(len(levels) - 2, -1, -1):
            here = self.lateral[index](levels[index])
            above = self.merge[index](here + interpolate(above, scale_factor=2.0, mode="nearest"))
        return above


def _mix(width: int, dense: bool) -> nn.Module:
    """A 3 x 3 neighbourhood mixed across channels."""
    if dense:
        return Conv2dNormActivation(width, width, 3)
    return nn.Sequential(
        Conv2dNormActivation(width, width, 3, groups=width, activation_layer=None),
        Conv2dNormActivation(width, width, 1),
    )


def _head(task_name: str, width: int, stride: int) -> nn.Module:
    """Map of the decoder's stride to the picture's size: channels are shuffled into pixels."""
    outputs = find_task(task_name).channels * stride**2
    last = nn.Conv2d(width, outputs, 1)
    nn.init.normal_(last.weight, std=0.02)
    last.bias = nn.Parameter(torch.full((outputs,), _START[task_name]))
    return nn.Sequential(_mix(width, dense=False), last, nn.PixelShuffle(stride))


# A head starts at the common answer: 2.7 m deep, few corners, few edges.
_START = {"segmentation": 0.0, "depth": 1.0, "normals": 0.0, "keypoints": -4.0, "edges": -2.5}


def count_parameters(network: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


def normalise(image_bhw3: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(b, h, w, 3) uint8 RGB to (b, 3, h, w) float32, on the tensor's device.

    The one preprocessing of training and serving. The result is channels-last in memory.
    """
    scale = torch.tensor([1 / (255 * s) for s in std], device=image_bhw3.device)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=image_bhw3.device)
    return (image_bhw3.to(torch.float32) * scale + shift).permute(0, 3, 1, 2)
