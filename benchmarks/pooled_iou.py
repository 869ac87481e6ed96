"""mIoU as Cityscapes and VOC count it: over all pictures' pixels together."""

from __future__ import annotations

import numpy as np

from models.benchmarks.splits.rendered import RenderedSplit
from models.runtime.model_runtime import ModelRuntime
from models.scoring.score import RESAMPLES, SEED, answer_batches
from models.tasks import find_task
from models.tasks.metrics import class_iou, confusion

__all__ = ["pooled_iou"]


def pooled_iou(
    runtime: ModelRuntime, split: RenderedSplit, task: str
) -> tuple[float, tuple[float, float]]:
    """Mean over classes of the intersection over union of all pictures' pixels together, and its
    95 % bootstrap interval over pictures: what Cityscapes and VOC call mIoU. The zoo's own metric
    is the mean over pictures, which a running system can report query by query."""
    classes = len(find_task(task).classes)
    pairs = [
        confusion(*pair, classes)
        for batch, answers in answer_batches(runtime, split, split.rows[task])
        for pair in zip(answers[task], split.labels[task][batch], strict=True)
    ]
    pairs_nkk = np.array(pairs)
    rng = np.random.default_rng(SEED)
    resampled = [
        class_iou(pairs_nkk[rng.integers(0, len(pairs), len(pairs))].sum(axis=0)).mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(class_iou(pairs_nkk.sum(axis=0)).mean()), (float(low), float(high))
