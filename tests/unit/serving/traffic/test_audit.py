"""A sample of answers under load against those given offline, whatever went wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.system import Answer, Outcome
from serving.traffic.audit import AuditRow, audit_answers
from serving.traffic.driver import Record
from serving.traffic.schedule import Schedule

PICTURES = [np.full((4, 4, 3), value, np.uint8) for value in range(8)]
TASKS = ("depth", "segmentation")


def offline(model: str, picture: NDArray[np.uint8]) -> Mapping[str, NDArray[Any]]:
    """Depth is what the picture shows times the model's number; classes are the picture's value."""
    value = float(picture.flat[0])
    return {
        "depth": np.full((50, 50), value * int(model[1:]), np.float32),
        "segmentation": np.full((50, 50), int(value), np.uint8),
    }


def scheduled(count: int) -> Schedule:
    index = np.arange(count)
    return Schedule(
        clients=("c",), tasks=TASKS, duration_s=1.0, phase_starts_s=(0.0,),
        scheduled_s_q=index / count, client_q=np.zeros(count, np.int32),
        task_q=(index % 2).astype(np.int32), image_q=(index % 8).astype(np.int32),
        phase_q=np.zeros(count, np.int32),
    )  # fmt: skip


def records(schedule: Schedule, models: tuple[str, ...] = ("m1", "m2")) -> list[Record]:
    found = []
    for index in range(len(schedule)):
        model = models[(index // 2) % len(models)]
        task = TASKS[schedule.task_q[index]]
        prediction = offline(model, PICTURES[schedule.image_q[index]])[task].copy()
        answer = Answer(Outcome.ANSWERED, prediction=prediction, model=model)
        found.append(Record(index, 0.0, 0.0, 0.1, answer))
    return found


def audited(schedule: Schedule, found: list[Record], count: int) -> dict[tuple[str, str], AuditRow]:
    rows = audit_answers(schedule, found, PICTURES, offline, count)
    return {(row.model, row.task): row for row in rows}


def test_answers_as_offline_are_said_to_be_so_and_models_and_tasks_share_the_sample() -> None:
    schedule = scheduled(80)
    rows = audited(schedule, records(schedule), 20)
    assert {key: row.compared for key, row in rows.items()} == {
        (model, task): 5 for model in ("m1", "m2") for task in TASKS
    }
    assert all(row.differing == 0 and row.worst == 0.0 for row in rows.values())


@pytest.mark.parametrize("fault", ["another picture", "another model", "cut off", "none"])
def test_mixed_up_answers_are_found(fault: str) -> None:
    schedule = scheduled(80)
    found = []
    for record in records(schedule):
        task = TASKS[schedule.task_q[record.place]]
        picture = PICTURES[schedule.image_q[record.place]]
        prediction: NDArray[Any] | None = record.answer.prediction
        if fault == "another picture":
            prediction = offline(record.answer.model, picture + np.uint8(1))[task]
        elif fault == "another model" and task == "depth":
            prediction = offline("m7", picture + np.uint8(1))[task]
        elif fault == "cut off":
            assert prediction is not None
            prediction = prediction[:20]
        elif fault == "none":
            prediction = None
        found.append(record._replace(answer=record.answer._replace(prediction=prediction)))
    rows = audited(schedule, found, 40)
    assert rows["m1", "depth"].differing == rows["m1", "depth"].compared > 0
    assert rows["m1", "depth"].worst == 1.0


def test_last_digits_and_a_border_pixel_are_no_difference() -> None:
    schedule = scheduled(80)
    found = records(schedule)
    for record in found:
        prediction = record.answer.prediction
        assert prediction is not None
        if prediction.dtype == np.float32:
            prediction[...] = prediction.astype(np.float32) + 1e-6
        else:
            prediction[0, :4] = 99  # 4 of 2500
    assert all(row.differing == 0 for row in audited(schedule, found, 40).values())


def test_refused_queries_are_not_compared_and_a_small_run_gives_what_it_has() -> None:
    schedule = scheduled(6)
    found = records(schedule)
    found[0] = found[0]._replace(answer=Answer(Outcome.SHED, reason="shed"))
    assert sum(row.compared for row in audited(schedule, found, 100).values()) == 5
    assert audit_answers(schedule, [], PICTURES, offline, 10) == []
