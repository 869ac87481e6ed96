"""Score answers against labels after the run, so that scoring costs the system no time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.deadline_classes import base_task
from serving.system import Outcome
from serving.traffic.driver import Record
from serving.traffic.schedule import Schedule

__all__ = ["Scorer", "score_answer", "score_records"]

Scorer = Callable[[str, NDArray[Any], NDArray[Any]], float]
"""(task, answer, label) -> metric in [0, 1]"""


def score_answer(task: str, answer: NDArray[Any], label: NDArray[Any]) -> float:
    """The metric of `task` for one image. Raises `ValueError` for an answer of another shape."""
    from models.tasks import TASKS

    return TASKS[task].score(answer, label)


def score_records(
    schedule: Schedule,
    records: Sequence[Record],
    labels: Sequence[Mapping[str, NDArray[Any]]],
    *,
    scorer: Scorer = score_answer,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Record]:
    """Records with `score` filled in; `labels[i][task]` is the truth for image i, also of the
    classes of that task (F20).

    A refused query keeps score 0. An answer that cannot be scored (no array, or not of the
    label's shape) is a fault of the system: its outcome becomes an error that says why.
    """
    scored = []
    for done, record in enumerate(records, start=1):
        task = base_task(schedule.tasks[schedule.task_q[record.place]])
        label = labels[schedule.image_q[record.place]][task]
        scored.append(_score(record, task, label, scorer))
        if on_progress is not None:
            on_progress(done, len(records))
    return scored


def _score(record: Record, task: str, label: NDArray[Any], scorer: Scorer) -> Record:
    if record.answer.outcome is not Outcome.ANSWERED:
        return record
    prediction = record.answer.prediction
    if prediction is None or prediction.shape[:2] != label.shape[:2]:
        got = "no array" if prediction is None else f"shape {prediction.shape}"
        return _faulty(record, f"unusable {task} answer: {got}, expected {label.shape}")
    try:
        score = float(scorer(task, prediction, label))
    except ValueError as error:
        return _faulty(record, f"unusable {task} answer: {error}")
    if not 0.0 <= score <= 1.0 or np.isnan(score):
        return _faulty(record, f"{task} score {score} is outside [0, 1]")
    return record._replace(score=score)


def _faulty(record: Record, reason: str) -> Record:
    answer = record.answer._replace(outcome=Outcome.ERROR, reason=reason)
    return record._replace(answer=answer, score=0.0)
