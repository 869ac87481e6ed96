"""The score of a predictor that has seen the labels but not the image: the floor of a metric.

Axes: `n` images, `h` rows, `w` columns.
"""

from __future__ import annotations

import numpy as np

from models.benchmarks.cache import RenderedSplit
from models.tasks import SEGMENTATION_CLASSES, TASKS

__all__ = ["constant_answers", "constant_scores"]


def constant_answers(train: RenderedSplit) -> dict[str, np.ndarray]:
    """One answer a task for every image: at each pixel the commonest class or the mean label."""
    answers = {}
    for task, label_n in train.labels.items():
        if task == "segmentation":
            votes = [(label_n == k).sum(axis=0) for k in range(len(SEGMENTATION_CLASSES))]
            answers[task] = np.argmax(votes, axis=0).astype(np.uint8)
        else:
            mean = label_n.mean(axis=0, dtype=np.float64)
            if task == "normals":
                mean = 127 * mean / np.linalg.norm(mean, axis=-1, keepdims=True)
            answers[task] = mean.astype(label_n.dtype)
    return answers


def constant_scores(train: RenderedSplit, test: RenderedSplit) -> dict[str, float]:
    """Mean score over `test` of the constant answers of `train`, by task."""
    return {
        task: float(np.mean([TASKS[task].score(answer, label) for label in test.labels[task]]))
        for task, answer in constant_answers(train).items()
    }
