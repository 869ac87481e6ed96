"""The device operations that `GraphEngine` is written against, and CUDA's.

A seam of eight operations: all that a machine without a GPU cannot run is behind it, so the
engine's own logic is tested there with a stand-in. `CudaAccelerator` has NOT been run on a GPU
yet; `make gpu-check` runs the tests that ask for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import Tensor

from models.runtime.cuda_choices import memory_fraction, precisions
from models.runtime.device_errors import DeviceMemoryError, as_lost

__all__ = ["Accelerator", "CudaAccelerator", "Outputs"]

Outputs = tuple[Tensor, ...]
_LOADING = threading.RLock()
"""one capture at a time in a process, as CUDA graphs require, and nothing else that loads"""


class Accelerator(Protocol):
    """One engine's part of a device: a stream, staging memory, captured passes."""

    device: torch.device
    precisions: tuple[str, ...]
    """number formats worth trying, best first"""

    def loading(self) -> AbstractContextManager[None]:
        """Held while an engine is built or freed. Raises `DeviceMemoryError` for want of room, and
        `DeviceLostError` if the device is lost."""
        ...

    def working(self) -> AbstractContextManager[None]:
        """Held while a batch runs. Raises `DeviceLostError` if the device is lost."""
        ...

    def stream(self) -> AbstractContextManager[None]:
        """Work issued inside goes to this engine's stream."""
        ...

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Host memory that the device copies from and to without blocking."""
        ...

    def capture(self, forward: Callable[[], Outputs]) -> Callable[[], Outputs]:
        """`forward`, run once to warm up and recorded; what comes back plays it again."""
        ...

    def wait(self) -> None:
        """Until the stream's work is done."""
        ...

    def reserved_bytes(self) -> int:
        """What the process holds of the device, free cached blocks given back."""
        ...


class CudaAccelerator:
    """CUDA: page-locked staging, a stream of its own, graphs that share one private pool.

    With `memory_bytes`, the process may reserve that much of the device and no more, so that nodes
    that share a GPU keep to their budgets. Raises `ValueError` if the device has less, and
    `DeviceLostError` if it is lost.
    """

    def __init__(self, device: str, memory_bytes: int | None = None) -> None:
        self.device = torch.device(device)
        self._budget_bytes = memory_bytes
        with self.working():
            self.precisions = precisions(torch.cuda.get_device_capability(self.device))
            if memory_bytes is not None:
                total = torch.cuda.get_device_properties(self.device).total_memory
                torch.cuda.set_per_process_memory_fraction(
                    memory_fraction(memory_bytes, total), self.device
                )
            self._stream = torch.cuda.Stream(self.device)
            self._pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """See `Accelerator`."""
        with _LOADING, self.working(), torch.cuda.device(self.device):
            try:
                yield
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                budget = self._budget_bytes
                room = "the device" if budget is None else f"a budget of {budget / 2**20:.0f} MiB"
                raise DeviceMemoryError(f"no room in {room} on {self.device}") from None

    @contextmanager
    def working(self) -> Iterator[None]:
        """See `Accelerator`."""
        try:
            yield
        except RuntimeError as error:
            lost = as_lost(error, str(self.device))
            if lost is None:
                raise
            raise lost from error

    @contextmanager
    def stream(self) -> Iterator[None]:
        """See `Accelerator`."""
        with torch.cuda.stream(self._stream):
            yield

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """See `Accelerator`."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def capture(self, forward: Callable[[], Outputs]) -> Callable[[], Outputs]:
        """See `Accelerator`. A network that cannot be captured (one that waits for the device, or
        branches on values) is played by running it."""
        with self.stream():
            forward()  # libraries choose kernels and allocate workspaces, which a capture may not
        self.wait()
        graph = torch.cuda.CUDAGraph()
        # Other models of the process go on meanwhile, on streams and threads of their own.
        recording = torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        )
        try:
            with self.stream(), recording:  # a failed recording leaves its stream behind
                outputs = forward()
        except RuntimeError as error:
            # Ending a recording that broke raises again and hides the reason.
            reason = error.__context__ or error
            if isinstance(reason, torch.OutOfMemoryError):
                raise reason from None
            if "captur" not in str(error).lower():
                raise
            return forward

        def replay() -> Outputs:
            graph.replay()
            return outputs

        return replay

    def wait(self) -> None:
        """See `Accelerator`."""
        self._stream.synchronize()

    def reserved_bytes(self) -> int:
        """See `Accelerator`. Pools of captured graphs are in it, weights and workspaces too."""
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved(self.device)
