"""The score of a predictor that has seen the labels but not the image: the floor of a metric.

Axes: `n` images, `h` rows, `w` columns.
"""

from __future__ import annotations

import numpy as np

from models.benchmarks.splits.rendered import RenderedSplit
from models.tasks import Kind, Task, find_task

__all__ = ["constant_answers", "constant_scores"]


def constant_answers(train: RenderedSplit) -> dict[str, np.ndarray]:
    """One answer a task for every image: at each pixel the commonest class or the mean label.

    Where labels have holes only what is known counts. The constant set of boxes is one box: the
    mean of the pictures' nearest.
    """
    return {
        name: _constant(find_task(name), train.labels[name][rows])
        for name, rows in train.rows.items()
    }


def _constant(task: Task, label_n: np.ndarray) -> np.ndarray:
    if task.kind is Kind.CLASSES:
        votes = [(label_n == k).sum(axis=0) for k in range(len(task.classes))]
        commonest: np.ndarray = np.argmax(votes, axis=0)
        return commonest.astype(np.uint8)
    if task.kind is Kind.METRES:
        known = np.maximum((label_n > 0).sum(axis=0), 1)
        mean: np.ndarray = label_n.sum(axis=0, dtype=np.float64) / known
        return np.where(mean > 0, mean, mean[mean > 0].mean()).astype(label_n.dtype)
    if task.kind is Kind.BOXES:
        nearest = label_n[:, 0][label_n[:, 0, 0] > 0]
        answer: np.ndarray = np.zeros_like(label_n[0])
        answer[0] = nearest.mean(axis=0, dtype=np.float64)
        return answer
    mean = label_n.mean(axis=0, dtype=np.float64)
    if task.kind is Kind.VECTORS:
        mean = 127 * mean / np.linalg.norm(mean, axis=-1, keepdims=True)
    return mean.astype(label_n.dtype)


def constant_scores(train: RenderedSplit, test: RenderedSplit) -> dict[str, float]:
    """Mean score over `test` of the constant answers of `train`, by task."""
    scores = {}
    for name, answer in constant_answers(train).items():
        labels = test.labels[name][test.rows[name]]
        scores[name] = float(np.mean([find_task(name).score(answer, label) for label in labels]))
    return scores
