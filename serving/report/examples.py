"""Real answers to look at: image, label and prediction, chosen by rank and not by beauty."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cluster.deadline_classes import base_task
from cluster.document import Document, FrozenModel
from serving.system import Outcome
from serving.traffic.driver import Record
from serving.traffic.images import LabelledImages
from serving.traffic.measurement import Measurements
from serving.traffic.schedule import Schedule

__all__ = ["Example", "Gallery", "pick_examples"]

RANKS = (0.1, 0.5, 0.9)
"""places in the order of score from which examples are taken: a poor, a middling, a good one"""


class Example(FrozenModel):
    """One answered query with its three pictures as PNG data URIs."""

    task: str
    client: str
    tier: str
    node: str
    model: str
    latency_s: float
    score: float
    score_rank: float
    """share of this task's answers that scored lower"""
    image: str
    label: str
    prediction: str


class Gallery(Document):
    """`gallery.json`: examples by task, so that a page can be made again without the run."""

    examples: tuple[Example, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks shown, in order of first appearance."""
        return tuple(dict.fromkeys(example.task for example in self.examples))

    def belongs_to(self, rows: Measurements) -> bool:
        """Whether each example is an answer of the run with these rows."""
        known = set(
            zip(
                rows.task.tolist(), rows.client.tolist(), rows.node.tolist(), rows.model.tolist(),
                rows.latency_s.tolist(), rows.score.tolist(), strict=True,
            )
        )  # fmt: skip
        return all(
            (each.task, each.client, each.node, each.model, each.latency_s, each.score) in known
            for each in self.examples
        )


def render_answer(task: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture (h, w, 3) of an answer or label of `task`."""
    from models.tasks import find_task

    return find_task(task).render(array)


def pick_examples(
    schedule: Schedule,
    records: Sequence[Record],
    images: LabelledImages,
    *,
    ranks: Sequence[float] = RANKS,
    render: Callable[[str, NDArray[Any]], NDArray[np.uint8]] = render_answer,
) -> Gallery:
    """For each task, the answers at the given ranks of score (0 worst, 1 best), scored records."""
    examples = []
    for t, task in enumerate(schedule.tasks):
        answered = [
            record
            for record in records
            if schedule.task_q[record.place] == t
            and record.answer.outcome is Outcome.ANSWERED
            and record.answer.prediction is not None
        ]
        answered.sort(key=lambda record: (record.score, record.place))
        places = dict.fromkeys(round(rank * (len(answered) - 1)) for rank in ranks if answered)
        for place in places:
            rank = place / max(1, len(answered) - 1)
            examples.append(_example(schedule, answered[place], task, rank, images, render))
    return Gallery(examples=tuple(examples))


def _example(
    schedule: Schedule,
    record: Record,
    task: str,
    rank: float,
    images: LabelledImages,
    render: Callable[[str, NDArray[Any]], NDArray[np.uint8]],
) -> Example:
    image = int(schedule.image_q[record.place])
    answer, shown = record.answer, base_task(task)
    if answer.prediction is None:
        raise ValueError(f"query {record.place} has no prediction to show")
    return Example(
        task=task,
        client=schedule.clients[schedule.client_q[record.place]],
        tier=answer.tier,
        node=answer.node,
        model=answer.model,
        latency_s=record.done_s - record.scheduled_s,
        score=record.score,
        score_rank=rank,
        image=_data_uri(images.images[image]),
        label=_data_uri(render(shown, images.labels[image][shown])),
        prediction=_data_uri(render(shown, answer.prediction)),
    )


def _data_uri(image: NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
