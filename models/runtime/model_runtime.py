"""The device runtime: one loaded, warmed model; what profiling measures and serving drives."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch

from cluster.errors import InputError
from models.runtime.accelerator import CudaAccelerator
from models.runtime.cpu_engine import CpuEngine, Engine, Serving
from models.runtime.device_errors import DeviceMemoryError, NoDeviceError
from models.runtime.fitting import fit
from models.runtime.graph_engine import GraphEngine, PrecisionCheck
from models.runtime.image_bodies import decode_image
from models.runtime.kept_traces import find_trace
from models.runtime.picture_header import MAX_PIXELS, ImageError
from models.runtime.resample import nearest
from models.tasks import Kind, find_task
from models.zoo.cards import ModelCard

__all__ = ["DeviceMemoryError", "ImageError", "ModelRuntime", "check_device", "decode_image"]

WARM_BATCHES = (1, 2, 1)


class ModelRuntime:
    """A model of the zoo on one device, ready to answer batches.

    Not for use by several threads at once: one executor owns it. `threads` is a setting of the
    whole process (torch has one pool), so runtimes of one process should agree on it.
    """

    def __init__(self, card: ModelCard, engine: Engine, max_batch: int) -> None:
        self.card = card
        self.weights_bytes = engine.weights_bytes + engine.resident_bytes
        """held between batches: the weights, and on CUDA the captured passes and their buffers"""
        self.warm_up_s = engine.warm_up_s
        """of the load, what the first batches took"""
        self.max_batch = max_batch
        self._engine = engine

    @classmethod
    def load(
        cls,
        card: ModelCard,
        device: str = "cpu",
        threads: int = 1,
        max_batch: int = 32,
        *,
        checkpoint: Path | None = None,
        memory_bytes: int | None = None,
        check: PrecisionCheck | None = None,
    ) -> Self:
        """Read the checkpoint (default: the zoo's), put it on `device` and run it warm.

        `device` is "cpu" or "cuda:k"; of a CUDA device the process may reserve `memory_bytes`
        (default: all of it), and `check` says whether half precision is good enough. Raises
        `CheckpointError` if the checkpoint is missing, changed, or does not fit the card,
        `ValueError` on a device this machine does not have or that has less memory,
        `DeviceMemoryError` if the model does not fit in it, `DeviceLostError` if the device is
        lost.
        """
        check_device(device)
        engine: Engine
        if device == "cpu":
            trace = find_trace(card, checkpoint)
            engine = CpuEngine(trace, threads, [min(b, max_batch) for b in WARM_BATCHES])
        else:
            # Imports timm, which a node that reads a trace does without.
            from models.zoo.assembly import load_network

            serving = Serving(load_network(card, checkpoint), card.tasks, card.preprocessing)
            try:
                accelerator = CudaAccelerator(device, memory_bytes)
                engine = GraphEngine(serving, accelerator, max_batch, check)
            except DeviceMemoryError as error:
                raise DeviceMemoryError(
                    f"{card.name} with batches of {max_batch}: {error}"
                ) from None
        return cls(card, engine, max_batch)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers of (b, h, w, 3) uint8 pictures by task, each (b, ...) as in `models.tasks`.

        Pictures of another size than the card's are fitted to it, as in training, and maps come
        back in the pictures' size. Raises `ValueError` on another shape or type, or a batch
        outside 1 .. max_batch, and `DeviceLostError` if the device is lost to this process.
        """
        taken = self.card.preprocessing
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(
                f"{self.card.name} takes uint8 pictures of shape (b, {taken.height}, "
                f"{taken.width}, 3), got {images.dtype} {images.shape}"
            )
        size = (images.shape[1], images.shape[2])
        if not 0 < size[0] * size[1] <= MAX_PIXELS:
            raise ValueError(f"a picture has 1 to {MAX_PIXELS} pixels, got {size[0]} x {size[1]}")
        if not 1 <= len(images) <= self.max_batch:
            raise ValueError(
                f"{self.card.name} was loaded for 1 to {self.max_batch} pictures a batch, "
                f"got {len(images)}"
            )
        # Arrays out of an object store are read-only, which torch does not take.
        fitted = fit(np.require(images, requirements=("C", "W")), taken)
        answers = dict(zip(self.card.tasks, self._engine.run(fitted), strict=True))
        if size != (taken.height, taken.width):
            for task, answer in answers.items():
                if find_task(task).kind not in (Kind.CATEGORY, Kind.BOXES):
                    answers[task] = nearest(answer, size)
        return answers

    def copy(self, images: np.ndarray) -> None:
        """Copy pictures of the card's size (b, h, w, 3) to the device and the answers of an earlier
        batch back, without a pass: what `run` takes for copies. Nothing on a CPU."""
        self._engine.copy(images)

    def close(self) -> None:
        """Free the device's memory; the runtime cannot be used afterwards."""
        self._engine.close()


def check_device(device: str) -> None:
    """Raise `InputError` unless `device` is "cpu" or a CUDA device of this machine."""
    if device == "cpu":
        return
    if not device.startswith("cuda:") or not device[5:].isdigit():
        raise InputError(f"no device {device!r}; devices: cpu, cuda:0, cuda:1, ...")
    count = torch.cuda.device_count()
    if int(device[5:]) >= count:
        raise NoDeviceError(f"no device {device!r}; this machine has {count} CUDA devices")
