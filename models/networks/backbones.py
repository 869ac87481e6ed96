"""timm backbones as feature pyramids: maps at strides 2, 4, 8, 16 and 32, channels first.

Axes: `b` images, `c` channels, `h` rows, `w` columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
from torch import Tensor, nn

from models.networks.architectures import Architecture

__all__ = ["create_timm", "make_backbone"]

STRIDES = (2, 4, 8, 16, 32)
_HIERARCHIES_FROM_4 = ("convnext", "swin")
_PLAIN_STRIDE = {"vit": 16}
_ANY_SIZE: dict[str, dict[str, Any]] = {
    "swin": {"strict_img_size": False},
    "vit": {"dynamic_img_size": True},
}
"""by family, what makes a transformer take pictures of any size"""


def make_backbone(architecture: Architecture, finest: int) -> tuple[nn.Module, Sequence[int]]:
    """A backbone whose levels are the strides `STRIDES[finest:]`, and their channels.

    Raises `ValueError` for a level finer than the backbone has.
    """
    name, family = architecture.backbone, _family(architecture.backbone)
    if family in _PLAIN_STRIDE:
        pyramid = _Pyramid(create_timm(name, (-1,)), _PLAIN_STRIDE[family], STRIDES[finest:])
        return pyramid, pyramid.channels
    first = 1 if family in _HIERARCHIES_FROM_4 else 0
    if finest < first:
        raise ValueError(f"{name} has no level of stride {STRIDES[finest]}; its finest is 4")
    backbone = create_timm(name, tuple(range(finest - first, len(STRIDES) - first)))
    channels = _channels(backbone)
    return (_ChannelsFirst(backbone) if family == "swin" else backbone), channels


def create_timm(name: str, levels: tuple[int, ...], pretrained: bool = False) -> nn.Module:
    """timm's feature extractor with the levels of these indices."""
    network: nn.Module = timm.create_model(
        name,
        features_only=True,
        pretrained=pretrained,
        out_indices=levels,
        **_ANY_SIZE.get(_family(name), {}),
    )
    return network


def _family(name: str) -> str:
    return name.split("_")[0]


def _channels(backbone: nn.Module) -> Sequence[int]:
    info: Any = backbone.feature_info
    channels: Sequence[int] = info.channels()
    return channels


class _ChannelsFirst(nn.Module):
    """Levels of a backbone that puts channels last."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, picture: Tensor) -> list[Tensor]:
        return [level.permute(0, 3, 1, 2) for level in self.body(picture)]


class _Pyramid(nn.Module):
    """Levels around the one stride of a plain transformer (as ViTDet): its last map, upsampled by
    transposed convolutions and downsampled by pooling."""

    def __init__(self, body: nn.Module, stride: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.body = body
        width = _channels(body)[0]
        self.channels: list[int] = []
        self.levels = nn.ModuleList()
        for wanted in strides:
            layers: list[nn.Module] = []
            channels, at = width, stride
            while at > wanted:
                layers += [nn.ConvTranspose2d(channels, channels // 2, 2, 2), nn.GELU()]
                channels, at = channels // 2, at // 2
            if at < wanted:
                layers.append(nn.MaxPool2d(wanted // at, ceil_mode=True))
            self.levels.append(nn.Sequential(*layers))
            self.channels.append(channels)

    def forward(self, picture: Tensor) -> list[Tensor]:
        (last,) = self.body(picture)
        return [level(last) for level in self.levels]
