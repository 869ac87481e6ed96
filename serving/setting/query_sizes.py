"""How large a query and an answer are on a link: b_t and d_t of the formulation, in bytes."""

from __future__ import annotations

from collections.abc import Sequence

from models.tasks import find_task
from models.zoo.cards import ModelCard
from models.zoo.inputs import input_of
from serving.node.links.uplink import QUERY_OVERHEAD_BYTES

__all__ = ["answer_bytes_of", "query_bytes_of"]


def query_bytes_of(cards: Sequence[ModelCard]) -> dict[str, float]:
    """b_t by task: between nodes an image travels decoded, 3 bytes a pixel, plus its frame."""
    return {
        task: float(3 * height * width + QUERY_OVERHEAD_BYTES)
        for task, (height, width) in _sizes(cards).items()
    }


def answer_bytes_of(cards: Sequence[ModelCard]) -> dict[str, float]:
    """d_t by task: the prediction's raw array."""
    return {
        task: float(find_task(task).answer_bytes(*size)) for task, size in _sizes(cards).items()
    }


def _sizes(cards: Sequence[ModelCard]) -> dict[str, tuple[int, int]]:
    """(height, width) of a task's pictures, by task in the order of the cards."""
    tasks = dict.fromkeys(task for card in cards for task in card.tasks)
    inputs = {task: input_of(cards, (task,)) for task in tasks}
    return {task: (taken.height, taken.width) for task, taken in inputs.items()}
