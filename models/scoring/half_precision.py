"""Whether half precision costs a model accuracy: judged when it is loaded on a GPU.

The same pictures of the test split are answered in float32 and in half precision, and both are
scored by their labels. So a difference is the precision's, and few pictures tell it. What was
found is kept in the user's cache: the next load of the model on such a GPU does not repeat it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from cluster.document import write_atomically
from cluster.errors import InputError
from models.benchmarks.registry import open_benchmark
from models.benchmarks.splits.interface import Benchmark
from models.benchmarks.splits.rendered import RenderedSplit, rendered_split
from models.runtime.graph_engine import Answering
from models.scoring.score import per_image_scores
from models.zoo.cards import ModelCard
from models.zoo.fetch import cache_folder

__all__ = ["MOST_LOST", "HalfPrecisionCheck", "half_precision_check"]

MOST_LOST = 0.005
"""of a task's score; a precision that loses more is not served"""
PICTURES = 32

_log = logging.getLogger(__name__)


def half_precision_check(card: ModelCard, device: str) -> HalfPrecisionCheck | None:
    """The check of a model on a GPU; None where the pictures are not at hand, which is logged."""
    size = (card.preprocessing.height, card.preprocessing.width)
    try:
        split = open_benchmark(card.benchmark, "test", size, PICTURES)
    except InputError as missing:
        _log.warning(
            "%s: half precision is used without knowing what it costs: %s", card.name, missing
        )
        return None
    return HalfPrecisionCheck(card, torch.cuda.get_device_name(device), split)


@dataclass
class HalfPrecisionCheck:
    """`PrecisionCheck` by the pictures of `split`, which are of the model's size."""

    card: ModelCard
    board: str
    split: Benchmark
    _lost: dict[str, dict[str, float]] = field(init=False)
    """by precision and task, what it loses of the score"""

    def __post_init__(self) -> None:
        try:
            self._lost = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._lost = {}

    def accepts(self, precision: str, exact: Answering, lowered: Answering) -> bool:
        """Whether `precision` loses at most `MOST_LOST` at each task."""
        lost = self._lost.get(precision)
        if lost is None:
            lost = self._measured(exact, lowered)
            self._lost[precision] = lost
            write_atomically(self._file, json.dumps(self._lost, indent=1))
        worst = max(lost, key=lambda task: lost[task], default="")
        if worst and lost[worst] > MOST_LOST:
            _log.warning(
                "%s loses %.4f of its score for %s in %s on %s, more than %g: it is not served so",
                self.card.name, lost[worst], worst, precision, self.board, MOST_LOST,
            )  # fmt: skip
            return False
        _log.info("%s in %s on %s loses %s", self.card.name, precision, self.board, lost)
        return True

    @property
    def _file(self) -> Path:
        facts = f"{self.card.digest} {self.board} {torch.__version__} {self.split.key}"
        return cache_folder("precisions") / f"{sha256(facts.encode()).hexdigest()[:16]}.json"

    @cached_property
    def _pictures(self) -> RenderedSplit:
        return rendered_split(self.split)

    def _measured(self, exact: Answering, lowered: Answering) -> dict[str, float]:
        before, after = self._scores(exact), self._scores(lowered)
        return {task: round(before[task] - after[task], 5) for task in before}

    def _scores(self, answering: Answering) -> Mapping[str, float]:
        """Mean score by task, of those that any picture has a label of."""
        scores = per_image_scores(_Answers(self.card, answering), self._pictures)
        return {task: float(values.mean()) for task, values in scores.items() if len(values)}


@dataclass(frozen=True)
class _Answers:
    """`ScoredModel` of a network in one precision."""

    card: ModelCard
    answering: Answering
    max_batch: int = 4

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        """See `ScoredModel.run`."""
        return dict(zip(self.card.tasks, self.answering(images), strict=True))
