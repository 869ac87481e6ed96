"""The device runtime: one loaded, warmed model; what profiling measures and serving drives."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch

from models.engines import CpuEngine, CudaEngine, Engine, Serving
from models.images import ImageError, decode_image
from models.networks import build_network
from models.specs import ARCHITECTURES
from models.zoo.cards import ModelCard
from models.zoo.checkpoint import CheckpointError, load_checkpoint
from models.zoo.registry import checkpoint_path

__all__ = ["ImageError", "ModelRuntime", "decode_image"]

WARM_BATCHES = (1, 2, 1)


class ModelRuntime:
    """A model of the zoo on one device, ready to answer batches.

    Not for use by several threads at once: one executor owns it. `threads` is a setting of the
    whole process (torch has one pool), so runtimes of one process should agree on it.
    """

    def __init__(self, card: ModelCard, engine: Engine, weights_bytes: int, max_batch: int) -> None:
        self.card = card
        self.weights_bytes = weights_bytes
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
    ) -> Self:
        """Read the checkpoint (default: the zoo's), put it on `device` and run it warm.

        `device` is "cpu" or "cuda:k". Raises `CheckpointError` if the checkpoint is missing,
        changed, or does not fit the card, `ValueError` on a device this machine does not have.
        """
        _check_device(device)
        path = checkpoint or checkpoint_path(card)
        state = load_checkpoint(path, card.checkpoint_sha256)
        network = build_network(ARCHITECTURES[card.size_class], card.tasks)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"{path}: not a {card.name}: {reason[:200]}") from None
        serving = Serving(network, card.preprocessing)
        engine: Engine
        if device == "cpu":
            engine = CpuEngine(serving, threads, [min(b, max_batch) for b in WARM_BATCHES])
        else:
            engine = CudaEngine(serving, device, (*WARM_BATCHES, max_batch))
        held = sum(t.numel() * t.element_size() for t in serving.state_dict().values())
        return cls(card, engine, held, max_batch)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers of (b, h, w, 3) uint8 pictures by task, each (b, ...) as in `models.tasks`.

        Raises `ValueError` on another shape or type, or a batch outside 1 .. max_batch.
        """
        wanted = (self.card.preprocessing.height, self.card.preprocessing.width, 3)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != wanted:
            raise ValueError(
                f"{self.card.name} takes uint8 pictures of shape (b, {wanted[0]}, {wanted[1]}, 3), "
                f"got {images.dtype} {images.shape}"
            )
        if not 1 <= len(images) <= self.max_batch:
            raise ValueError(
                f"{self.card.name} was loaded for 1 to {self.max_batch} pictures a batch, "
                f"got {len(images)}"
            )
        # Arrays out of an object store are read-only, which torch does not take.
        answers = self._engine.run(np.require(images, requirements=("C", "W")))
        return dict(zip(self.card.tasks, answers, strict=True))

    def close(self) -> None:
        """Free the device's memory; the runtime cannot be used afterwards."""
        self._engine.close()


def _check_device(device: str) -> None:
    if device == "cpu":
        return
    if not device.startswith("cuda:") or not device[5:].isdigit():
        raise ValueError(f"no device {device!r}; devices: cpu, cuda:0, cuda:1, ...")
    count = torch.cuda.device_count()
    if int(device[5:]) >= count:
        raise ValueError(f"no device {device!r}; this machine has {count} CUDA devices")
