"""Rebuilding many models one after another, so that an interrupted rebuild goes on.

A finished model leaves a mark of its spec beside the training states; when the last is finished
all marks go, and the next rebuild starts over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from models.benchmarks.splits.rendered import cache_folder
from models.training.specs import TrainingSpec
from models.training.training_state import spec_digest
from models.zoo.cards import ModelCard

__all__ = ["rebuild"]


def rebuild(
    specs: Sequence[TrainingSpec],
    train: Callable[[TrainingSpec], ModelCard],
    *,
    resume: bool = True,
    state_dir: Path | None = None,
) -> Iterator[ModelCard]:
    """Cards of `specs` as `train` finishes them; with `resume`, not those finished before."""
    folder = state_dir or cache_folder("training")
    marks = [folder / f"{spec.name}-{spec_digest(spec)[:16]}.finished" for spec in specs]
    for spec, mark in zip(specs, marks, strict=True):
        if resume and mark.exists():
            continue
        card = train(spec)
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
        yield card
    for mark in marks:
        mark.unlink(missing_ok=True)
