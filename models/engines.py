"""One loaded network on one device: numpy pictures in, numpy answers out.

`CpuEngine` runs a frozen TorchScript trace; `CudaEngine` runs half-precision weights on a stream
of its own with pinned staging buffers. Both run the same module, `Serving`.
Axes: `b` images, `h` rows, `w` columns, `3` colours.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.answers import ENCODERS
from models.networks import DenseNetwork, normalise
from models.zoo.cards import Preprocessing

__all__ = ["CpuEngine", "CudaEngine", "Engine", "Serving"]


class Engine(Protocol):
    """What `ModelRuntime` needs of a device."""

    def run(self, image_bhw3: np.ndarray) -> tuple[np.ndarray, ...]:
        """Answers of a batch, one array a task."""

    def close(self) -> None:
        """Give the device's memory back."""


class Serving(nn.Module):
    """Preprocess, forward and postprocess as one module: (b, h, w, 3) uint8 to answer tensors."""

    def __init__(self, network: DenseNetwork, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network.eval()
        self.preprocessing = preprocessing

    def forward(self, image_bhw3: Tensor) -> tuple[Tensor, ...]:
        """Answers in task order."""
        picture = normalise(image_bhw3, self.preprocessing.mean, self.preprocessing.std)
        outputs = self.network(picture.to(next(self.network.parameters()).dtype))
        return tuple(
            ENCODERS[task](output.float())
            for task, output in zip(self.network.tasks, outputs, strict=True)
        )


class CpuEngine:
    """A frozen trace in float32 and channels-last; `threads` of this process compute it."""

    def __init__(self, serving: Serving, threads: int, warm_batches: Sequence[int]) -> None:
        torch.set_num_threads(threads)
        serving = serving.to(memory_format=torch.channels_last)
        shape = (serving.preprocessing.height, serving.preprocessing.width, 3)
        example = torch.zeros((2, *shape), dtype=torch.uint8)
        with torch.inference_mode(), warnings.catch_warnings():
            # TorchScript is deprecated in favour of torch.export, whose CPU path needs a
            # compiler on the node; users can do nothing about the warning.
            warnings.simplefilter("ignore")
            # Fusion would compile anew for every batch size and was measured to gain nothing
            # here; so was optimize_for_inference, whose layouts double the time of a batch.
            torch.jit.set_fusion_strategy([])
            traced = torch.jit.trace(serving, example, check_trace=False)
            self._module = torch.jit.freeze(traced.eval())
        for batch in warm_batches:
            self.run(np.zeros((batch, *shape), np.uint8))

    def run(self, image_bhw3: np.ndarray) -> tuple[np.ndarray, ...]:
        """Answers of a batch, one array a task."""
        with torch.inference_mode():
            return tuple(answer.numpy() for answer in self._module(torch.from_numpy(image_bhw3)))

    def close(self) -> None:
        """Drop the trace; its memory goes back to the allocator."""
        del self._module


class CudaEngine:
    """Half-precision weights on `device`; copies overlap nothing but never block other streams."""

    def __init__(self, serving: Serving, device: str, warm_batches: Sequence[int]) -> None:
        self._device = torch.device(device)
        torch.cuda.set_device(self._device)
        self._module = serving.half().to(self._device).to(memory_format=torch.channels_last)
        self._stream = torch.cuda.Stream(self._device)
        shape = (serving.preprocessing.height, serving.preprocessing.width, 3)
        self._staging = torch.empty((max(warm_batches), *shape), dtype=torch.uint8, pin_memory=True)
        self._answers: list[Tensor] = []
        for batch in sorted(warm_batches, reverse=True):
            self.run(np.zeros((batch, *shape), np.uint8))

    def run(self, image_bhw3: np.ndarray) -> tuple[np.ndarray, ...]:
        """Answers of a batch, one array a task."""
        batch = len(image_bhw3)
        staged = self._staging[:batch]
        staged.copy_(torch.from_numpy(image_bhw3))
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            answers = self._module(staged.to(self._device, non_blocking=True))
            if not self._answers:
                self._answers = [
                    torch.empty((len(self._staging), *a.shape[1:]), dtype=a.dtype, pin_memory=True)
                    for a in answers
                ]
            for pinned, answer in zip(self._answers, answers, strict=True):
                pinned[:batch].copy_(answer, non_blocking=True)
        self._stream.synchronize()
        # Pinned memory is overwritten by the next batch, so the caller gets its own copy.
        return tuple(pinned[:batch].numpy().copy() for pinned in self._answers)

    def close(self) -> None:
        """Free weights and staging buffers and return cached blocks to the driver."""
        del self._module, self._staging, self._answers
        torch.cuda.empty_cache()
