"""A model of one's own: one Python file with `CARD`, what it is, and `build()`, its network.

Registering runs the file, measures the network on its benchmark's test split, and stores card,
checkpoint and a copy of the file in a zoo; from then on it is a model like any other. Nodes run
that copy, and only if its digest is still the card's.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn

from cluster.document import Document, DocumentError
from cluster.errors import InputError
from models.tasks import Kind, find_task
from models.zoo.cards import Preprocessing

__all__ = ["OwnCard", "OwnModel", "OwnModelError", "check_outputs", "read_own_model"]


class OwnModelError(InputError):
    """A file does not make a model; the message says what was expected of it."""


class OwnCard(Document):
    """What `CARD` says; the rest of a `ModelCard` is measured."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    benchmark: str
    tasks: tuple[str, ...] = Field(min_length=1)
    preprocessing: Preprocessing
    licence: str
    backbone: str = "own"
    pretrained: str = "none"


@dataclass(frozen=True)
class OwnModel:
    """A file that was read: its card, its digest, and the function that makes the network."""

    path: Path
    card: OwnCard
    sha256: str
    build: Callable[[], Any]

    def network(self) -> nn.Module:
        """What `build()` makes. Raises `OwnModelError` if it is no `torch.nn.Module`."""
        try:
            network = self.build()
        except Exception as error:
            raise OwnModelError(f"{self.path}: build(): {type(error).__name__}: {error}") from error
        if not isinstance(network, nn.Module):
            raise OwnModelError(
                f"{self.path}: build() must return a torch.nn.Module, it returned "
                f"{type(network).__name__}"
            )
        return network


def read_own_model(path: Path, sha256: str | None = None) -> OwnModel:
    """Run the file at `path`, if its digest is `sha256` (default: whatever it is).

    Raises `OwnModelError` for a file that is missing, changed, fails, or lacks CARD or build.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OwnModelError(f"{path}: {error.strerror or error}") from None
    found = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, found):
        raise OwnModelError(
            f"{path}: digest {found[:12]} is not the card's {str(sha256)[:12]}; register it again"
        )
    specification = importlib.util.spec_from_file_location(f"own_model_{found[:16]}", path)
    if specification is None or specification.loader is None:
        raise OwnModelError(f"{path}: expected a Python file, NAME.py")
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise OwnModelError(f"{path}: {type(error).__name__}: {error}") from error
    build = getattr(module, "build", None)
    if not callable(build):
        raise OwnModelError(f"{path}: expected a function build() that makes the network")
    try:
        card = OwnCard.parse(getattr(module, "CARD", None), source=f"{path}: CARD")
    except DocumentError as error:
        raise OwnModelError(str(error)) from None
    return OwnModel(path, card, found, build)


def check_outputs(own: OwnModel, network: nn.Module) -> None:
    """Raise `OwnModelError` unless `network` gives one raw output of the right shape a task."""
    height, width = own.card.preprocessing.height, own.card.preprocessing.width
    try:
        with torch.inference_mode():
            outputs = network.eval()(torch.zeros(2, 3, height, width))
    except Exception as error:
        raise OwnModelError(
            f"{own.path}: forward() on two pictures of {height} x {width}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(outputs, tuple | list) or len(outputs) != len(own.card.tasks):
        raise OwnModelError(
            f"{own.path}: the network must return a tuple with one tensor for each of "
            f"{', '.join(own.card.tasks)}"
        )
    for name, output in zip(own.card.tasks, outputs, strict=True):
        task = find_task(name)
        is_whole = task.kind is Kind.CATEGORY
        wanted = (2, task.channels) if is_whole else (2, task.channels, height, width)
        if tuple(output.shape) != wanted and task.kind is not Kind.BOXES:
            raise OwnModelError(
                f"{own.path}: {name}: expected a tensor of shape {wanted}, got "
                f"{tuple(output.shape)}"
            )
