"""Scores of a model over a rendered split, computed through the runtime that serves it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np

from models.benchmarks.splits.rendered import RenderedSplit
from models.runtime.model_runtime import ModelRuntime
from models.tasks import find_task
from models.zoo.cards import ModelCard, TaskMetric

__all__ = [
    "ScoredModel", "answer_batches", "interval_half_width", "per_image_scores", "score_model",
]  # fmt: skip

RESAMPLES = 2_000
SEED = 7


class ScoredModel(Protocol):
    """What is scored, such as a `ModelRuntime`."""

    @property
    def card(self) -> ModelCard:
        """Of the model."""
        ...

    @property
    def max_batch(self) -> int:
        """Pictures that it takes at once."""
        ...

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        """Answers by task of (b, h, w, 3) uint8 pictures."""
        ...


def answer_batches(
    runtime: ScoredModel, split: RenderedSplit, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray]]]:
    """The pictures of `rows` in batches as large as the runtime takes: their rows, and answers by
    task."""
    for start in range(0, len(rows), runtime.max_batch):
        batch = rows[start : start + runtime.max_batch]
        yield batch, runtime.run(np.asarray(split.image_nhw3[batch]))


def per_image_scores(
    runtime: ScoredModel,
    split: RenderedSplit,
    images: Iterable[int] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Scores by task of the images (default: the whole split) that carry a label of the task."""
    rows = np.arange(len(split)) if images is None else np.fromiter(images, int)
    tasks = {name: find_task(name) for name in runtime.card.tasks}
    labelled = {name: np.isin(rows, split.rows[name]) for name in tasks}
    scores: dict[str, list[float]] = {name: [] for name in tasks}
    done = 0
    for batch, answers in answer_batches(runtime, split, rows):
        for name, task in tasks.items():
            here = labelled[name][done : done + len(batch)]
            labels = split.labels[name][batch[here]]
            pairs = zip(answers[name][here], labels, strict=True)
            scores[name] += [task.score(answer, label) for answer, label in pairs]
        done += len(batch)
        if on_progress is not None:
            on_progress(done, len(rows))
    return {name: np.array(values) for name, values in scores.items()}


def score_model(
    runtime: ModelRuntime,
    split: RenderedSplit,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, TaskMetric]:
    """Mean score by task with the half-width of its 95 % interval."""
    return {
        task: TaskMetric(
            value=round(float(values.mean()), 5),
            half_width=round(interval_half_width(values), 5),
            images=len(values),
        )
        for task, values in per_image_scores(runtime, split, on_progress=on_progress).items()
    }


def interval_half_width(value_n: np.ndarray) -> float:
    """Half the width of the 95 % bootstrap interval of the mean; seeded, so it is repeatable."""
    rng = np.random.default_rng(SEED)
    picked = rng.integers(0, len(value_n), (RESAMPLES, len(value_n)))
    low, high = np.percentile(value_n[picked].mean(axis=1), [2.5, 97.5])
    return float(high - low) / 2
