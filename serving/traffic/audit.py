"""Whether answers under load are those that the models give offline, for the same pictures.

In the manner of MLPerf's accuracy test (TEST01): of the answers of a run a sample is drawn, evenly
over models and tasks, and each picture is asked about once more, alone, outside of the system. A
batch of several pictures computes in another order, so numbers may differ in their last digits, and
a class on a border may tip over. More than that means that answers were mixed up, cut off or of
another model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cluster.deadline_classes import base_task
from cluster.document import FrozenModel
from serving.system import Outcome
from serving.traffic.driver import Record
from serving.traffic.schedule import Schedule

__all__ = ["AuditRow", "Offline", "audit_answers"]

Offline = Callable[[str, NDArray[np.uint8]], Mapping[str, NDArray[Any]]]
"""(model, picture (h, w, 3)) -> the model's answers by task"""
CLOSE = 1e-3
"""that a number may differ, of the largest in the answer"""
LEAST = 0.01
"""that counts as the largest number of an answer of smaller ones"""
OFF_SHARE = 0.002
"""of an answer's numbers that may differ by more: pixels on the border of two classes"""


class AuditRow(FrozenModel):
    """The sampled answers of one model to one task."""

    model: str
    task: str
    compared: int
    differing: int = Field(description="answers with more than `OFF_SHARE` of their numbers off")
    worst: float = Field(description="largest share of an answer's numbers that were off")


def audit_answers(
    schedule: Schedule,
    records: Sequence[Record],
    pictures: Sequence[NDArray[np.uint8]],
    offline: Offline,
    count: int,
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[AuditRow]:
    """`count` of the answers of `records` compared with what `offline` says of their pictures."""
    drawn = _sample(schedule, records, count, seed)
    off: dict[tuple[str, str], list[float]] = {}
    for done, record in enumerate(drawn, start=1):
        task = schedule.tasks[schedule.task_q[record.place]]
        picture = pictures[schedule.image_q[record.place]]
        expected = offline(record.answer.model, picture)[base_task(task)]
        off.setdefault((record.answer.model, task), []).append(
            _off_share(record.answer.prediction, expected)
        )
        if on_progress is not None:
            on_progress(done, len(drawn))
    return [
        AuditRow(
            model=model, task=task, compared=len(shares),
            differing=sum(share > OFF_SHARE for share in shares), worst=max(shares),
        )
        for (model, task), shares in sorted(off.items())
    ]  # fmt: skip


def _sample(schedule: Schedule, records: Sequence[Record], count: int, seed: int) -> list[Record]:
    """Answered records, of each model and task as many as of any other, as far as there are."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.answer.outcome is Outcome.ANSWERED:
            task = schedule.tasks[schedule.task_q[record.place]]
            groups.setdefault((record.answer.model, task), []).append(record)
    rng = np.random.default_rng(seed)
    queues = [
        [group[i] for i in rng.permutation(len(group))] for _, group in sorted(groups.items())
    ]
    found: list[Record] = []
    while len(found) < count and any(queues):
        for queue in queues:
            if queue and len(found) < count:
                found.append(queue.pop())
    return found


def _off_share(answer: NDArray[Any] | None, expected: NDArray[Any]) -> float:
    """Share of the numbers of an answer that are not those expected; 1 for another shape."""
    if answer is None or answer.shape != expected.shape:
        return 1.0
    if not answer.size:
        return 0.0
    if expected.dtype.kind == "f":
        near = CLOSE * max(LEAST, float(np.abs(expected).max()))
        return float(np.mean(np.abs(answer - expected) > near))
    return float(np.mean(answer != expected))
