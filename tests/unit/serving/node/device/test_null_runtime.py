"""A null node's models answer zeros in the form of each task; its device's time is in
`tests/unit/serving/deploy/test_node_models.py`, where a whole node serves."""

from __future__ import annotations

import numpy as np
import pytest

from models.tasks import TASKS, find_task
from serving.node.device.null_runtime import NullRuntime


@pytest.mark.parametrize("task", sorted(TASKS))
def test_an_answer_has_the_form_of_its_task(task: str) -> None:
    answers = NullRuntime((task,), 1).run(np.zeros((3, 64, 96, 3), np.uint8))
    assert list(answers) == [task]
    assert answers[task].shape == (3, *find_task(task).answer_shape(64, 96))
    assert answers[task].dtype == find_task(task).answer_dtype
    assert not answers[task].any()
