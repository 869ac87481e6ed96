"""Model cards: what a checkpoint is, how to feed it, and how well it does (no torch here)."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field

from cluster.document import Document, FrozenModel

__all__ = ["ModelCard", "Preprocessing", "TaskMetric"]


class Preprocessing(FrozenModel):
    """How an image becomes the network's input in training and serving
    (`models.runtime.fitting`, `models.runtime.preprocessing`).

    A picture of another size is stretched to it, `bilinear` and `bicubic` with antialiasing.
    """

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"


class TaskMetric(FrozenModel):
    """Mean of a task's per-image metric over the test split, and its 95 % half-width."""

    value: float = Field(ge=0, le=1)
    half_width: float = Field(ge=0)
    images: int = Field(gt=0)


class ModelCard(Document):
    """One trained model of the zoo."""

    name: str
    benchmark: str
    tasks: tuple[str, ...] = Field(min_length=1)
    backbone: str
    size_class: str = Field(description="small, middle, large, ..., or own")
    preprocessing: Preprocessing
    parameters: int = Field(gt=0)
    metrics: dict[str, TaskMetric]
    test_images: int | None = Field(
        default=None, gt=0, description="pictures of the test split that were scored, if not all"
    )
    checkpoint: str = Field(description="file name beside the cards, fp16 safetensors")
    checkpoint_sha256: str
    builder: str | None = Field(
        default=None, description="file in the zoo's `builders` that makes a network of one's own"
    )
    builder_sha256: str | None = None
    steps: int = Field(ge=0, description="training steps; 0 for a network that came trained")
    seed: int
    pretrained: str = Field(description="origin of the initial weights, or 'none'")
    teacher: str | None = Field(
        default=None, description="model whose answers were learnt beside the labels"
    )
    train_command: str
    licence: str

    @property
    def digest(self) -> str:
        """Of all that decides what the model computes: its weights, its network and its input."""
        parts = (
            self.checkpoint_sha256,
            self.builder_sha256 or f"{self.benchmark}/{self.size_class}",
            ",".join(self.tasks),
            self.preprocessing.model_dump_json(),
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def accuracy(self, task: str) -> float:
        """a_mt: the measured metric, 0 for a task the model does not serve."""
        metric = self.metrics.get(task)
        return metric.value if metric else 0.0
