"""An engine for accelerators: batches padded to buckets, each bucket one captured pass.

Axes: `b` images, `h` rows, `w` columns, `3` colours.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.runtime.accelerator import Accelerator, Outputs
from models.runtime.cpu_engine import Serving, bytes_of
from models.runtime.cuda_choices import bucket_of, bucket_sizes

__all__ = ["Answering", "GraphEngine", "PrecisionCheck", "hold_low_precision"]

PROBE_SEED = 0
LOWERED = (
    nn.Linear,
    nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
"""Layers whose weights autocast converts in every pass."""


Answering = Callable[[np.ndarray], Sequence[np.ndarray]]
"""(b, h, w, 3) uint8 pictures -> answers of the batch, one array a task"""


class PrecisionCheck(Protocol):
    """Whether a network may be served in half precision."""

    def accepts(self, precision: str, exact: Answering, lowered: Answering) -> bool:
        """Judge the answers in that `precision`; `exact` has those in float32."""
        ...


class GraphEngine:
    """`Serving` on an accelerator, ready for batches of 1 to `max_batch`.

    The network runs in the first of the device's precisions whose raw maps are finite on a noise
    picture, and which `check` accepts, where there is one. A batch is copied into page-locked
    memory, from there into the device's input without blocking, run in the smallest bucket that
    holds it, and its answers come back the same way; all on the engine's own stream. Rows beyond
    the batch hold what was there before: no image of a batch looks at another. Raises
    `DeviceMemoryError` if the device has no room.
    """

    def __init__(
        self,
        serving: Serving,
        accelerator: Accelerator,
        max_batch: int,
        check: PrecisionCheck | None = None,
    ) -> None:
        self._device = accelerator
        self._sizes = bucket_sizes(max_batch)
        with accelerator.loading(), accelerator.stream(), torch.inference_mode():
            before = accelerator.reserved_bytes()
            self._input = torch.zeros(
                (max_batch, *serving.shape), dtype=torch.uint8, device=accelerator.device
            )
            self.precision, self._module = _lowered(serving, accelerator, check)
            self._staged = accelerator.staging((max_batch, *serving.shape), torch.uint8)
            # The largest first, so that the smaller passes fit into its memory.
            self._play = {size: self._capture(size) for size in reversed(self._sizes)}
            self._answers: list[Tensor] = []
            self._outputs: dict[int, Outputs] = {}
            started_s = time.perf_counter()
            for size in self._sizes:
                self.run(np.zeros((size, *serving.shape), np.uint8))
            self.warm_up_s = time.perf_counter() - started_s
            held = accelerator.reserved_bytes() - before
        self.weights_bytes = bytes_of(self._module)
        self.resident_bytes = max(0, held - self.weights_bytes)

    def run(self, image_bhw3: np.ndarray) -> tuple[np.ndarray, ...]:
        """Answers of a batch, one array a task. Raises `DeviceLostError` if the device is lost."""
        with self._device.working():
            return self._run(image_bhw3, computes=True)

    def copy(self, image_bhw3: np.ndarray) -> None:
        """Copy a batch to the device and the answers of an earlier one back, without a pass."""
        with self._device.working():
            self._run(image_bhw3, computes=False)

    def _run(self, image_bhw3: np.ndarray, *, computes: bool) -> tuple[np.ndarray, ...]:
        batch = len(image_bhw3)
        bucket = bucket_of(batch, self._sizes)
        staged = self._staged[:batch]
        np.copyto(staged.numpy(), image_bhw3)
        with torch.inference_mode(), self._device.stream():
            self._input[:batch].copy_(staged, non_blocking=True)
            if computes:
                self._outputs[bucket] = self._play[bucket]()
            answers = self._outputs[bucket]
            if not self._answers:
                self._answers = [
                    self._device.staging((self._sizes[-1], *a.shape[1:]), a.dtype) for a in answers
                ]
            for host, answer in zip(self._answers, answers, strict=True):
                host[:batch].copy_(answer[:batch], non_blocking=True)
        self._device.wait()
        # Staging memory is overwritten by the next batch, so the caller gets its own copy.
        return tuple(host[:batch].numpy().copy() for host in self._answers)

    def close(self) -> None:
        """Give weights, graphs and staging memory back."""
        with self._device.loading():
            self._device.wait()
            self._play.clear()
            self._outputs.clear()
            del self._module, self._input, self._staged, self._answers
            self._device.reserved_bytes()

    def _capture(self, size: int) -> Callable[[], Outputs]:
        image = self._input[:size]
        precision = self.precision

        def forward() -> Outputs:
            with _autocast(self._device.device, precision):
                outputs: Outputs = self._module(image)
            return outputs

        return self._device.capture(forward)


def hold_low_precision(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """`module` with the weights of `LOWERED` layers held in `dtype`; the rest (norms, whatever a
    user's own layers hold) stays in float32. In place."""
    for part in module.modules():
        if isinstance(part, LOWERED):
            part.to(dtype)
    return module


def _lowered(
    serving: Serving, accelerator: Accelerator, check: PrecisionCheck | None
) -> tuple[str, Serving]:
    """The precision to run in, and the module on the device in it. The last one is never refused:
    it is float32, or was asked for."""
    generator = torch.Generator().manual_seed(PROBE_SEED)
    probe = torch.randint(0, 256, (1, *serving.shape), dtype=torch.uint8, generator=generator)
    host = torch.device("cpu")
    for precision in accelerator.precisions:
        module = copy.deepcopy(serving)
        if precision != "float32":
            hold_low_precision(module.network, getattr(torch, precision))
        module = module.to(accelerator.device).to(memory_format=torch.channels_last)
        if precision == accelerator.precisions[-1]:
            return precision, module
        with _autocast(accelerator.device, precision):
            maps = module.maps(probe.to(accelerator.device))
            finite = all(bool(torch.isfinite(output).all()) for output in maps)
        # In float32 on the host: on the device a second copy might exceed the node's memory.
        exact = partial(_answer, serving, host, "float32")
        lowered = partial(_answer, module, accelerator.device, precision)
        if finite and (check is None or check.accepts(precision, exact, lowered)):
            return precision, module
    raise ValueError("an accelerator names at least one precision")


def _answer(
    module: Serving, device: torch.device, precision: str, image_bhw3: np.ndarray
) -> tuple[np.ndarray, ...]:
    with _autocast(device, precision):
        answers: Outputs = module(torch.from_numpy(image_bhw3).to(device))
    return tuple(answer.cpu().numpy() for answer in answers)


def _autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    if precision == "float32":
        return nullcontext()
    # A cast kept for the next pass would lie outside the memory of a captured one.
    return torch.autocast(device.type, getattr(torch, precision), cache_enabled=False)
