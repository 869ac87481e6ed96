"""Whether a card tells the truth: its files' digests, its size, and its metrics measured again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.benchmarks.registry import open_benchmark
from models.benchmarks.splits.rendered import RenderedSplit, rendered_split
from models.networks.multi_task import count_parameters
from models.runtime.model_runtime import ModelRuntime
from models.scoring.score import score_model
from models.training.specs import SPECS
from models.zoo.assembly import load_network
from models.zoo.cards import ModelCard
from models.zoo.checkpoint import CheckpointError
from models.zoo.own_model import OwnModelError

__all__ = ["TOLERANCE", "Verified", "scored_pictures", "verify_model"]

TOLERANCE = 0.002
"""between processors, sums of floats round apart and a few pixels with them"""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Verified:
    """What was found for one model; it is true to its card if there are no `faults`."""

    model: str
    faults: tuple[str, ...]
    metrics: Mapping[str, float]
    """measured again, by task; empty if only files were looked at"""


def verify_model(
    card: ModelCard,
    *,
    data: Path | None = None,
    threads: int = 1,
    files_only: bool = False,
    tolerance: float = TOLERANCE,
    on_progress: Progress | None = None,
) -> Verified:
    """Load the card's model and, unless `files_only`, score it on its test split again.

    `data` is the folder of a benchmark that is read from disk. Raises `ValueError` or `DataError`
    if the test split cannot be had.
    """
    try:
        network = load_network(card)
    except (CheckpointError, OwnModelError) as error:
        return Verified(card.name, (str(error),), {})
    faults = []
    if count_parameters(network) != card.parameters:
        faults.append(
            f"{card.name}: the network has {count_parameters(network)} parameters, the card says "
            f"{card.parameters}"
        )
    if files_only:
        return Verified(card.name, tuple(faults), {})
    runtime = ModelRuntime.load(card, threads=threads)
    try:
        measured = score_model(runtime, scored_pictures(card, data), on_progress)
    finally:
        runtime.close()
    for task in sorted({*card.metrics, *measured}):
        stated, found = card.metrics.get(task), measured.get(task)
        if stated is None or found is None:
            faults.append(f"{card.name}: {task} has no metric {'now' if stated else 'in its card'}")
        elif abs(stated.value - found.value) > tolerance or stated.images != found.images:
            faults.append(
                f"{card.name}: {task} is {found.value:.4f} over {found.images} images, the card "
                f"says {stated.value:.4f} over {stated.images}"
            )
    return Verified(card.name, tuple(faults), {t: m.value for t, m in measured.items()})


def scored_pictures(card: ModelCard, data: Path | None = None) -> RenderedSplit:
    """The pictures that a card's metrics are of, at its size."""
    size = (card.preprocessing.height, card.preprocessing.width)
    spec = SPECS.get(card.name)
    count = card.test_images or (spec.test_images if spec else None)
    return rendered_split(open_benchmark(card.benchmark, "test", size, count, data))
