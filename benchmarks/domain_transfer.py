"""How far a model trained for one domain answers for another (numpy and the runtime).

Axes: `o` the domain a model was trained for, `s` the domain whose pictures it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.benchmarks.splits.rendered import RenderedSplit
from models.runtime.model_runtime import ModelRuntime
from models.scoring.score import answer_batches
from models.tasks import find_task
from models.zoo.cards import ModelCard

__all__ = ["own_minus_other", "transfer_matrix"]


def transfer_matrix(cards: Sequence[ModelCard], split: RenderedSplit) -> np.ndarray:
    """accuracy_os of single-task models, in the order of their tasks' domains in `cards`.

    Raises `ValueError` if a model serves several tasks or tasks differ in their classes.
    """
    tasks = [_only_task(card) for card in cards]
    if len({find_task(task).classes for task in tasks}) > 1:
        raise ValueError(f"tasks {', '.join(tasks)} do not share one list of classes")
    accuracy_os = np.zeros((len(cards), len(cards)))
    for o, card in enumerate(cards):
        runtime = ModelRuntime.load(card)
        score = find_task(tasks[o]).score
        for s, shown in enumerate(tasks):
            right: list[float] = []
            for batch, answers in answer_batches(runtime, split, split.rows[shown]):
                labels = split.labels[shown][batch]
                right += [score(*pair) for pair in zip(answers[tasks[o]], labels, strict=True)]
            accuracy_os[o, s] = np.mean(right)
        runtime.close()
    return accuracy_os


def own_minus_other(accuracy_os: np.ndarray) -> float:
    """Mean accuracy on a model's own domain less its mean on the others."""
    count = len(accuracy_os)
    own = np.trace(accuracy_os) / count
    other = (accuracy_os.sum() - np.trace(accuracy_os)) / (count * (count - 1))
    return float(own - other)


def _only_task(card: ModelCard) -> str:
    if len(card.tasks) != 1:
        raise ValueError(f"{card.name} serves {len(card.tasks)} tasks; transfer wants one")
    return card.tasks[0]
