"""Which tasks to train together, after Standley et al. (ICML 2020): every pair is tried, and says.

Axes: `i` the task that gains or loses, `j` its company. The networks compared are of one size
class, so that their number is what they cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cluster.document import Document, FrozenModel
from models.training.specs import TrainingSpec, specs_of
from models.zoo.cards import ModelCard, TaskMetric

__all__ = [
    "SIZE_CLASS", "Affinity", "Network", "PairScores", "best_networks", "collect_affinity",
    "gain_ij", "pair_specs", "predict_scores",
]  # fmt: skip

SIZE_CLASS = "small"
"""of the networks compared: the cheapest to train, and the one with least room for all"""


class PairScores(FrozenModel):
    """What two tasks reach in one network."""

    metrics: dict[str, TaskMetric] = Field(min_length=2, max_length=2)


class Affinity(Document):
    """Every task of a benchmark alone, and every two of them together."""

    benchmark: str
    alone: dict[str, TaskMetric] = Field(min_length=2)
    pairs: tuple[PairScores, ...]

    @model_validator(mode="after")
    def _complete(self) -> Affinity:
        wanted = {frozenset(pair) for pair in combinations(self.alone, 2)}
        found = [frozenset(pair.metrics) for pair in self.pairs]
        if set(found) != wanted or len(found) != len(wanted):
            raise ValueError(f"expected each of the {len(wanted)} pairs of tasks once")
        return self

    @property
    def tasks(self) -> tuple[str, ...]:
        """In the order of the axes."""
        return tuple(self.alone)

    def together(self, i: str, j: str) -> TaskMetric:
        """What task `i` reaches in one network with `j`."""
        return next(pair.metrics[i] for pair in self.pairs if pair.metrics.keys() == {i, j})


@dataclass(frozen=True)
class Network:
    """One network of a set that serves all tasks: what it is trained for, and what it is asked.

    A task may be trained only to help another one, and be asked of another network.
    """

    trained: tuple[str, ...]
    asked: tuple[str, ...]


def pair_specs(benchmark: str) -> tuple[TrainingSpec, ...]:
    """Specs of every pair of the benchmark's tasks that the zoo does not train by itself.

    They train like the zoo's pairs. Raises `KeyError` if there is no such benchmark.
    """
    small = [spec for spec in specs_of(benchmark) if spec.size_class == SIZE_CLASS]
    alone = {spec.tasks[0]: spec for spec in small if len(spec.tasks) == 1}
    pairs = [spec for spec in small if len(spec.tasks) == 2]
    there = {frozenset(spec.tasks) for spec in pairs if not spec.teacher}
    return tuple(
        replace(
            alone[i],
            name=f"{benchmark}-{SIZE_CLASS}-{_short(i, benchmark)}-{_short(j, benchmark)}",
            tasks=(i, j),
            steps=pairs[0].steps,
        )
        for i, j in combinations(alone, 2)
        if {i, j} not in there
    )


def collect_affinity(benchmark: str, cards: Iterable[ModelCard]) -> Affinity:
    """The table from cards of single tasks and pairs; others are passed over.

    Raises `DocumentError` if a task or a pair is missing.
    """
    found: dict[frozenset[str], ModelCard] = {}
    for card in cards:
        if (card.benchmark, card.size_class, card.teacher) == (benchmark, SIZE_CLASS, None):
            found.setdefault(frozenset(card.tasks), card)
    alone = {task: card.metrics[task] for tasks, card in found.items() if len(tasks) == 1
             for task in tasks}  # fmt: skip
    pairs = [{"metrics": card.model_dump()["metrics"]}
             for tasks, card in found.items() if len(tasks) == 2]  # fmt: skip
    data = {
        "benchmark": benchmark,
        "alone": {task: metric.model_dump() for task, metric in alone.items()},
        "pairs": pairs,
    }
    return Affinity.parse(data, source=f"the cards of {benchmark}")


def gain_ij(affinity: Affinity) -> NDArray[np.float64]:
    """What task i gains by the company of j; 0 on the diagonal."""
    tasks = affinity.tasks
    gain = np.zeros((len(tasks), len(tasks)))
    for a, i in enumerate(tasks):
        for b, j in enumerate(tasks):
            if i != j:
                gain[a, b] = affinity.together(i, j).value - affinity.alone[i].value
    return gain


def predict_scores(affinity: Affinity, trained: Sequence[str]) -> dict[str, float]:
    """Scores of the tasks of one network: alone, and the mean of what each companion brings.

    It is Standley et al.'s approximation of larger sets by their pairs.
    """
    gain = gain_ij(affinity)
    place = {task: index for index, task in enumerate(affinity.tasks)}
    scores = {}
    for task in trained:
        others = [place[other] for other in trained if other != task]
        brought = float(gain[place[task], others].mean()) if others else 0.0
        scores[task] = affinity.alone[task].value + brought
    return scores


def best_networks(affinity: Affinity, most: int) -> tuple[tuple[Network, ...], float]:
    """At most `most` networks that serve all tasks with the highest predicted mean, and that mean.

    Exact: every division of the tasks, each part asked of the set trained for it that predicts
    most, which may have further tasks beside the part.
    """
    tasks = affinity.tasks
    predicted = {
        trained: predict_scores(affinity, trained)
        for size in range(1, len(tasks) + 1)
        for trained in combinations(tasks, size)
    }

    def best(part: tuple[str, ...]) -> tuple[float, Network]:
        sums = {
            trained: sum(scores[task] for task in part)
            for trained, scores in predicted.items()
            if set(part) <= set(trained)
        }
        trained = max(sums, key=lambda found: (sums[found], -len(found)))
        return sums[trained], Network(trained, part)

    chosen = {part: best(part) for part in predicted}
    total, division = max(
        (
            (sum(chosen[part][0] for part in division), division)
            for division in _divisions(tasks)
            if len(division) <= most
        ),
        key=lambda entry: (entry[0], -len(entry[1])),
    )
    return tuple(chosen[part][1] for part in division), total / len(tasks)


def _divisions(tasks: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Every way to divide `tasks` into parts, each part in the order of `tasks`."""
    if not tasks:
        yield ()
        return
    first, rest = tasks[0], tasks[1:]
    for division in _divisions(rest):
        yield ((first,), *division)
        for index, part in enumerate(division):
            yield (*division[:index], (first, *part), *division[index + 1 :])


def _short(task: str, benchmark: str) -> str:
    return task.removeprefix(f"{benchmark}-")
