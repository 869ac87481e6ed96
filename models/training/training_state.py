"""A training run's state on disk: one safetensors file with JSON metadata, written atomically."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torch.optim import Optimizer

from cluster.document import write_atomically
from models.training.specs import TrainingSpec

__all__ = ["restore_state", "save_state", "spec_digest"]


def save_state(
    path: Path, spec: TrainingSpec, step: int, network: nn.Module, optimizer: Optimizer
) -> None:
    """Store weights and optimizer moments after `step` steps."""
    tensors = {f"network.{name}": t for name, t in network.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        for name, tensor in moments.items():
            tensors[f"optimizer.{index}.{name}"] = tensor
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(whole, {"step": str(step), "spec": spec_digest(spec)}))


def restore_state(path: Path, spec: TrainingSpec, network: nn.Module, optimizer: Optimizer) -> int:
    """Fill `network` and `optimizer` in place and return the steps done.

    0, with nothing changed, if there is no state, or one of another spec or a damaged one.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("spec") != spec_digest(spec):
                return 0
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (FileNotFoundError, SafetensorError):
        return 0
    network.load_state_dict(
        {k.removeprefix("network."): t for k, t in tensors.items() if k.startswith("network.")}
    )
    state: dict[int, dict[str, object]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return int(metadata["step"])


def spec_digest(spec: TrainingSpec) -> str:
    """sha256 in hex of everything that decides the model: the spec and the network it names."""
    return hashlib.sha256(repr((spec, spec.architecture)).encode()).hexdigest()
