"""One loaded network on one device: numpy pictures in, numpy answers out.

`CpuEngine` runs a frozen TorchScript trace; `models.runtime.graph_engine` drives accelerators.
Both run the same module, `Serving`.
Axes: `b` images, `h` rows, `w` columns, `3` colours.
"""

from __future__ import annotations

import io
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.runtime.allocator import give_back_freed_memory, keep_freed_memory
from models.runtime.answers import encode
from models.runtime.preprocessing import normalisation, standardise
from models.runtime.torch_private import forget_traced_classes
from models.tasks import find_task
from models.zoo.cards import Preprocessing

__all__ = ["CpuEngine", "Engine", "Serving", "Trace", "bytes_of", "make_trace"]


class Engine(Protocol):
    """What `ModelRuntime` needs of a device."""

    weights_bytes: int
    resident_bytes: int
    """held between batches beyond the weights"""
    warm_up_s: float
    """what its first batches took while it was built"""

    def run(self, image_bhw3: np.ndarray) -> tuple[np.ndarray, ...]:
        """Answers of a batch, one array a task."""

    def copy(self, image_bhw3: np.ndarray) -> None:
        """Copy a batch to the device and the answers of an earlier one back, without a pass."""

    def close(self) -> None:
        """Give the device's memory back."""


class Serving(nn.Module):
    """Preprocess, forward and postprocess as one module: (b, h, w, 3) uint8 to answer tensors.

    `network` maps (b, 3, h, w) normalised pictures to a tuple of raw maps, one a task of `tasks`.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, network: nn.Module, tasks: Sequence[str], preprocessing: Preprocessing
    ) -> None:
        super().__init__()
        self.network = network.eval()
        self.tasks = tuple(tasks)
        self.shape = (preprocessing.height, preprocessing.width, 3)
        # On the device from the start: a copy within a pass would wait for the host.
        scale, shift = normalisation(preprocessing.mean, preprocessing.std)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def maps(self, image_bhw3: Tensor) -> tuple[Tensor, ...]:
        """The network's raw maps, in task order."""
        maps: tuple[Tensor, ...] = self.network(standardise(image_bhw3, self.scale, self.shift))
        return maps

    def forward(self, image_bhw3: Tensor) -> tuple[Tensor, ...]:
        """Answers in task order."""
        return tuple(
            encode(find_task(task), output.float())
            for task, output in zip(self.tasks, self.maps(image_bhw3), strict=True)
        )


_TRACING = threading.Lock()


@dataclass(frozen=True)
class Trace:
    """A network as TorchScript: it runs without code of this project, timm or torchvision."""

    archive: bytes
    """what `torch.jit.save` writes"""
    shape: tuple[int, int, int]
    """(h, w, 3) of the pictures that it takes"""


def make_trace(serving: Serving) -> Trace:
    """The trace of `serving`, in channels-last.

    torch keeps the classes of what is traced, and with them its weights, for the life of the
    process: a node that changed its plan lost 35 MB a time. So the trace is written out, the
    classes forgotten, and the trace read back, which makes classes of its own.
    """
    serving = serving.to(memory_format=torch.channels_last)
    example = torch.zeros((2, *serving.shape), dtype=torch.uint8)
    written = io.BytesIO()
    with _TRACING, torch.inference_mode(), warnings.catch_warnings():
        # TorchScript is deprecated in favour of torch.export, whose CPU path needs a compiler on
        # the node; users can do nothing about the warning.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(serving, example, check_trace=False)
        torch.jit.save(traced.eval(), written)
        del traced
        forget_traced_classes()
    return Trace(written.getvalue(), serving.shape)


class CpuEngine:
    """A frozen trace in float32 and channels-last; `threads` of this process compute it."""

    def __init__(self, trace: Trace, threads: int, warm_batches: Sequence[int]) -> None:
        torch.set_num_threads(threads)
        keep_freed_memory()
        self.resident_bytes = 0
        with _TRACING, torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in `make_trace`
            # Fusion would compile anew for every batch size and was measured to gain nothing
            # here; so was optimize_for_inference, whose layouts double the time of a batch.
            torch.jit.set_fusion_strategy([])
            own = torch.jit.load(io.BytesIO(trace.archive)).eval()
            self.weights_bytes = bytes_of(own)
            self._module = torch.jit.freeze(own)
            del own
        give_back_freed_memory()  # what reading took, which batches do not need
        started_s = time.perf_counter()
        for batch in warm_batches:
            self.run(np.zeros((batch, *trace.shape), np.uint8))
        self.warm_up_s = time.perf_counter() - started_s

    def run(self, image_bhw3: np.ndarray) -> tuple[np.ndarray, ...]:
        """Answers of a batch, one array a task."""
        with torch.inference_mode():
            return tuple(answer.numpy() for answer in self._module(torch.from_numpy(image_bhw3)))

    def copy(self, image_bhw3: np.ndarray) -> None:
        """Nothing is copied: the pass reads the batch where it lies, and answers lie there too."""

    def save(self, path: Path) -> None:
        """Write the trace; `torch.jit.load` reads it without any code of this project."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as above
            torch.jit.save(self._module, str(path))

    def close(self) -> None:
        """Drop the trace; its memory goes back to the system."""
        del self._module
        give_back_freed_memory()


def bytes_of(module: nn.Module) -> int:
    """What the module's parameters and buffers take."""
    return sum(t.numel() * t.element_size() for t in module.state_dict().values())
