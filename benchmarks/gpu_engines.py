"""Engines of the GPU check: a device in one number format, for models of the zoo and for backbones
of timm with random weights. On a CPU the same engine runs on the host, so that all of it is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor

from models.networks.architectures import Architecture
from models.networks.multi_task import build_network, count_parameters
from models.runtime.accelerator import Accelerator, CudaAccelerator, Outputs
from models.runtime.cpu_engine import Serving
from models.runtime.graph_engine import GraphEngine
from models.runtime.model_runtime import ModelRuntime
from models.zoo.assembly import load_network
from models.zoo.cards import ModelCard, Preprocessing

__all__ = ["BackboneRuntime", "HostAccelerator", "load_in"]

TASKS = ("segmentation", "depth")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class HostAccelerator:
    """`Accelerator` without one: the host computes, nothing is captured, and memory is not told."""

    def __init__(self, *precisions: str) -> None:
        self.device = torch.device("cpu")
        self.precisions = precisions

    def loading(self) -> AbstractContextManager[None]:
        """See `Accelerator`."""
        return nullcontext()

    def working(self) -> AbstractContextManager[None]:
        """See `Accelerator`."""
        return nullcontext()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """See `Accelerator`."""
        yield

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """See `Accelerator`."""
        return torch.empty(shape, dtype=dtype)

    def capture(self, forward: Callable[[], Outputs]) -> Callable[[], Outputs]:
        """See `Accelerator`."""
        return forward

    def wait(self) -> None:
        """See `Accelerator`."""

    def reserved_bytes(self) -> int:
        """See `Accelerator`."""
        return 0


def accelerator(device: str, *precisions: str) -> Accelerator:
    """`device` in the first of `precisions` that gives finite answers; its own choice if none."""
    if device == "cpu":
        return HostAccelerator(*(precisions or ("float32",)))
    found = CudaAccelerator(device)
    if precisions:
        found.precisions = precisions
    return found


def load_in(
    card: ModelCard, device: str, max_batch: int, *precisions: str
) -> tuple[ModelRuntime, str]:
    """A model of the zoo on `device`, and the number format it runs in."""
    serving = Serving(load_network(card), card.tasks, card.preprocessing)
    engine = GraphEngine(serving, accelerator(device, *precisions), max_batch)
    return ModelRuntime(card, engine, max_batch), engine.precision


class BackboneRuntime:
    """A backbone of timm with random weights under the testbed's decoder and two heads."""

    def __init__(self, backbone: str, pixels: int, device: str, max_batch: int) -> None:
        network = build_network(Architecture(backbone, 64, 4, True, None), TASKS)
        taken = Preprocessing(height=pixels, width=pixels, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        self.parameters = count_parameters(network)
        self._engine = GraphEngine(Serving(network, TASKS, taken), accelerator(device), max_batch)
        self.precision = self._engine.precision
        self.weights_bytes = self._engine.weights_bytes + self._engine.resident_bytes

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Answers of uint8 pictures (b, pixels, pixels, 3)."""
        return self._engine.run(images)

    def close(self) -> None:
        """Free the device's memory."""
        self._engine.close()
