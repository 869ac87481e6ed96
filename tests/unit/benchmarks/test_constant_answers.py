"""The predictor that has seen the labels but not the image."""

from __future__ import annotations

from pathlib import Path

import pytest

from constant_answers import constant_answers, constant_scores
from models.benchmarks.registry import BENCHMARKS, open_benchmark
from models.benchmarks.splits.rendered import rendered_split
from models.tasks import TASKS


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_constant_predictor_answers_in_the_tasks_form(name: str, tmp_path: Path) -> None:
    benchmark = open_benchmark(name, "val", (32, 32), count=24)
    split = rendered_split(benchmark, folder=tmp_path)
    answers = constant_answers(split)
    assert tuple(answers) == benchmark.tasks
    for task, answer in answers.items():
        assert answer.dtype == TASKS[task].answer_dtype
        assert answer.shape == TASKS[task].answer_shape(32, 32)
    scores = constant_scores(split, split)
    assert all(0 <= score < 1 for score in scores.values())
