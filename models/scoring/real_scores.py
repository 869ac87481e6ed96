"""Scores of a model on real pictures: of its own data set, or of another with the same classes.

A model of `domains` names sixteen things. DomainNet, PACS and Office-Home show some of them under
these or other names, so such a model can be tried on their photographs, paintings and sketches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cluster.errors import InputError
from models.benchmarks.registry import ON_DISK, open_benchmark
from models.benchmarks.splits.rendered import rendered_split
from models.runtime.model_runtime import ModelRuntime
from models.scoring.score import per_image_scores
from models.tasks import Kind, find_task, tasks_of
from models.zoo.cards import ModelCard

__all__ = ["RealScore", "common_classes", "score_on_disk"]

OTHER_NAMES = {
    "bicycle": ("bike",),
    "boat": ("sailboat", "speedboat", "canoe"),
    "clock": ("alarm_clock",),
    "cup": ("coffee_cup", "mug"),
    "flower": ("flowers",),
    "glasses": ("eyeglasses",),
}
"""class of `domains` -> what the data sets on disk call the same thing"""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RealScore:
    """Mean score of one head over the pictures of one domain whose class it knows."""

    task: str
    domain: str
    score: float
    images: int
    classes: int
    """in common; of one model's classes a guess is right one time in their number"""


def score_on_disk(
    card: ModelCard,
    benchmark: str,
    data: Path,
    split: str = "test",
    images: int | None = None,
    threads: int = 1,
    on_progress: Progress | None = None,
) -> list[RealScore]:
    """Scores of `card` on the pictures under `data`, laid out as `benchmark` is published.

    Raises `InputError` if that is not read from disk or has none of the model's classes, and
    `DataError` for a fault of the folder.
    """
    if benchmark not in ON_DISK:
        raise InputError(
            f"{benchmark!r} is not read from disk; give --benchmark, one of {', '.join(ON_DISK)}"
        )
    size = (card.preprocessing.height, card.preprocessing.width)
    pictures = rendered_split(
        open_benchmark(benchmark, split, size, images, data), on_progress=on_progress
    )
    runtime = ModelRuntime.load(card, threads=threads)
    try:
        if card.benchmark == benchmark:
            scores = per_image_scores(runtime, pictures, on_progress=on_progress)
            return [
                RealScore(
                    name, name, float(values.mean()), len(values), len(find_task(name).classes)
                )
                for name, values in scores.items()
                if len(values)
            ]
        theirs = find_task(tasks_of(benchmark)[0])
        mine = find_task(card.tasks[0])
        common = common_classes(mine.classes, theirs.classes)
        if mine.kind is not Kind.CATEGORY or theirs.kind is not Kind.CATEGORY or not common:
            raise InputError(f"{card.name} names nothing that {benchmark} shows")
        rows = []
        for domain, labelled in pictures.rows.items():
            class_n = pictures.labels[domain][labelled].argmax(axis=1)
            known = np.isin(class_n, list(common))
            chosen, true_n = labelled[known], np.array([common[k] for k in class_n[known]])
            if len(chosen):
                said = _answers(runtime, pictures.image_nhw3, chosen)
                rows += [
                    RealScore(task, domain, float((answer.argmax(axis=1) == true_n).mean()),
                              len(chosen), len(set(true_n)))
                    for task, answer in said.items()
                ]  # fmt: skip
        return rows
    finally:
        runtime.close()


def common_classes(mine: tuple[str, ...], theirs: tuple[str, ...]) -> dict[int, int]:
    """Their class id -> mine, for classes of the same thing."""
    names = {name: mine.index(own) for own in mine for name in (own, *OTHER_NAMES.get(own, ()))}
    return {k: names[name.lower()] for k, name in enumerate(theirs) if name.lower() in names}


def _answers(
    runtime: ModelRuntime, image_nhw3: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    parts = [
        runtime.run(np.asarray(image_nhw3[rows[start : start + runtime.max_batch]]))
        for start in range(0, len(rows), runtime.max_batch)
    ]
    return {task: np.concatenate([part[task] for part in parts]) for task in parts[0]}
