"""Checkpoints: half-precision safetensors whose digest the card states. Never pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from cluster.document import write_atomically
from models.zoo.fetch import CheckpointError, read_checkpoint

__all__ = ["CheckpointError", "load_checkpoint", "save_checkpoint"]


def save_checkpoint(state: Mapping[str, Tensor], path: Path) -> str:
    """Write `state` with floats as float16; returns the file's sha256 in hex.

    Raises `CheckpointError` if a number does not fit float16.
    """
    halves = {}
    for name, tensor in state.items():
        half = tensor.detach().cpu().contiguous()
        if half.is_floating_point():
            half = half.to(torch.float16)
            if not torch.isfinite(half).all():
                raise CheckpointError(f"{path.name}: {name} does not fit float16")
        halves[name] = half
    content = save(halves)
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def load_checkpoint(path: Path, sha256: str) -> dict[str, Tensor]:
    """Tensors by name with floats as float32, on the CPU.

    Raises `CheckpointError` if the file is missing or its digest is not `sha256`.
    """
    content = read_checkpoint(path, sha256)
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in load(content).items()
    }
