"""Scores: each answer meets the label of its image and task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.benchmarks.splits.interface import Sample
from serving.system import Outcome
from serving.traffic.driver import Record
from serving.traffic.images import load_images
from serving.traffic.schedule import Schedule
from serving.traffic.scoring import score_records

LABELS = [{"depth": np.full((4, 4), k / 10), "edges": np.zeros((4, 4))} for k in range(10)]


def closeness(task: str, answer: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    return 1.0 - float(np.abs(answer - label).mean())


def test_each_answer_meets_the_label_of_its_image_and_task(
    schedule: Schedule, records: list[Record]
) -> None:
    seen: list[tuple[int, int]] = []
    scored = score_records(
        schedule, records, LABELS, scorer=closeness, on_progress=lambda *at: seen.append(at)
    )
    assert seen[-1] == (len(records), len(records))
    for record in scored:
        task = schedule.tasks[schedule.task_q[record.place]]
        truth = schedule.image_q[record.place] / 10 if task == "depth" else 0.0
        if record.answer.outcome is Outcome.ANSWERED:
            assert record.score == pytest.approx(1.0 - truth)
        else:
            assert record.score == 0.0


@pytest.mark.parametrize(
    ("prediction", "reason"),
    [(None, "no array"), (np.zeros((3, 4)), "shape (3, 4), expected (4, 4)")],
)
def test_an_answer_that_cannot_be_scored_is_an_error_of_the_system(
    schedule: Schedule, records: list[Record], prediction: NDArray[np.float64] | None, reason: str
) -> None:
    bad = records[1]._replace(answer=records[1].answer._replace(prediction=prediction))
    scored = score_records(schedule, [bad], LABELS, scorer=closeness)[0]
    assert scored.answer.outcome is Outcome.ERROR
    assert scored.score == 0.0
    assert reason in scored.answer.reason


def test_a_score_outside_its_range_or_a_failing_metric_is_an_error(
    schedule: Schedule, records: list[Record]
) -> None:
    def failing(task: str, answer: object, label: object) -> float:
        raise ValueError("odd dtype")

    outside = [lambda *_, s=score: s for score in (float("nan"), 1.01, -0.01)]
    for scorer, reason in [(failing, "odd dtype"), *((each, "outside [0, 1]") for each in outside)]:
        scored = score_records(schedule, [records[1]], LABELS, scorer=scorer)[0]
        assert scored.answer.outcome is Outcome.ERROR
        assert reason in scored.answer.reason


def test_the_metrics_of_the_tasks_are_used(schedule: Schedule, records: list[Record]) -> None:
    rng = np.random.default_rng(0)
    label: dict[str, NDArray[Any]] = {
        "depth": rng.uniform(1, 5, (24, 24)).astype(np.float16),
        "edges": (255 * (rng.uniform(size=(24, 24)) < 0.2)).astype(np.uint8),
    }
    exact = []
    for record in records:
        truth = label[schedule.tasks[schedule.task_q[record.place]]]
        exact.append(record._replace(answer=record.answer._replace(prediction=truth), score=0.0))
    for record in score_records(schedule, exact, [label] * 10):
        answered = record.answer.outcome is Outcome.ANSWERED
        assert record.score == (1.0 if answered else 0.0)


class Dataset:
    def __len__(self) -> int:
        return 3

    def sample(self, index: int) -> Sample:
        image = np.full((8, 8, 3), index, np.uint8)
        return Sample(image, {"depth": np.full((8, 8), float(index))})


def test_images_are_encoded_once_with_their_labels() -> None:
    seen: list[tuple[int, int]] = []
    loaded = load_images([Dataset()], 2, on_progress=lambda *at: seen.append(at))
    assert len(loaded) == 2
    assert loaded.bodies[1].startswith(b"\x89PNG")
    assert loaded.labels[1]["depth"][0, 0] == 1.0
    assert seen == [(1, 2), (2, 2)]
    with pytest.raises(ValueError, match="the data set has 3"):
        load_images([Dataset()], 4)


def test_two_benchmarks_share_the_images_and_tell_which_has_which_label() -> None:
    class Other(Dataset):
        def sample(self, index: int) -> Sample:
            return replace(super().sample(index), labels={"sketch": np.zeros(4)})

    loaded = load_images([Dataset(), Other()], 5)
    assert loaded.labelled == {"depth": [0, 1], "sketch": [2, 3, 4]}
