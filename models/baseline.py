"""The score of a predictor that has seen the labels but not the image: the floor of a metric.

Axes: `n` images, `h` rows, `w` columns.
"""

from __future__ import annotations

import numpy as np

from models.benchmarks.cache import RenderedSplit
from models.tasks import Kind, find_task

__all__ = ["constant_answers", "constant_scores"]


def constant_answers(train: RenderedSplit) -> dict[str, np.ndarray]:
    """One answer a task for every image: at each pixel the commonest class or the mean label."""
    answers = {}
    for name, rows in train.rows.items():
        task, label_n = find_task(name), train.labels[name][rows]
        if task.kind is Kind.CLASSES:
            votes = [(label_n == k).sum(axis=0) for k in range(len(task.classes))]
            answers[name] = np.argmax(votes, axis=0).astype(np.uint8)
        else:
            mean = label_n.mean(axis=0, dtype=np.float64)
            if task.kind is Kind.VECTORS:
                mean = 127 * mean / np.linalg.norm(mean, axis=-1, keepdims=True)
            answers[name] = mean.astype(label_n.dtype)
    return answers


def constant_scores(train: RenderedSplit, test: RenderedSplit) -> dict[str, float]:
    """Mean score over `test` of the constant answers of `train`, by task."""
    scores = {}
    for name, answer in constant_answers(train).items():
        labels = test.labels[name][test.rows[name]]
        scores[name] = float(np.mean([find_task(name).score(answer, label) for label in labels]))
    return scores
