"""Scores of a model over a rendered split, computed through the runtime that serves it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from models.benchmarks.cache import RenderedSplit
from models.runtime import ModelRuntime
from models.tasks import TASKS
from models.zoo.cards import TaskMetric

__all__ = ["per_image_scores", "score_model"]

NORMAL_95 = 1.96


def per_image_scores(
    runtime: ModelRuntime,
    split: RenderedSplit,
    images: Iterable[int] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Score of every image (default: all of the split) by task."""
    rows = np.arange(len(split)) if images is None else np.fromiter(images, int)
    scores: dict[str, list[float]] = {task: [] for task in runtime.card.tasks}
    for start in range(0, len(rows), runtime.max_batch):
        batch = rows[start : start + runtime.max_batch]
        answers = runtime.run(np.asarray(split.image_nhw3[batch]))
        for task, answer in answers.items():
            labels = split.labels[task][batch]
            scores[task] += [
                TASKS[task].score(a, label) for a, label in zip(answer, labels, strict=True)
            ]
        if on_progress is not None:
            on_progress(start + len(batch), len(rows))
    return {task: np.array(values) for task, values in scores.items()}


def score_model(
    runtime: ModelRuntime,
    split: RenderedSplit,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, TaskMetric]:
    """Mean score by task with the half-width of its 95 % interval (normal approximation)."""
    metrics = {}
    for task, values in per_image_scores(runtime, split, on_progress=on_progress).items():
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        metrics[task] = TaskMetric(
            value=round(float(values.mean()), 5),
            half_width=round(NORMAL_95 * spread / len(values) ** 0.5, 5),
            images=len(values),
        )
    return metrics
