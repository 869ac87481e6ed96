"""How large a query and an answer are on a link: b_t and d_t of the formulation, in bytes."""

from __future__ import annotations

from collections.abc import Sequence

from models.tasks import find_task
from models.zoo.cards import ModelCard
from serving.node.uplink import QUERY_OVERHEAD_BYTES

__all__ = ["answer_bytes_of", "query_bytes_of"]


def query_bytes_of(cards: Sequence[ModelCard]) -> dict[str, float]:
    """b_t by task: between nodes an image travels decoded, 3 bytes a pixel, plus its frame."""
    return {
        task: float(3 * _pixels(card) + QUERY_OVERHEAD_BYTES)
        for card in cards
        for task in card.tasks
    }


def answer_bytes_of(cards: Sequence[ModelCard]) -> dict[str, float]:
    """d_t by task: the prediction's raw array."""
    return {
        task: float(
            find_task(task).answer_bytes(card.preprocessing.height, card.preprocessing.width)
        )
        for card in cards
        for task in card.tasks
    }


def _pixels(card: ModelCard) -> int:
    return card.preprocessing.height * card.preprocessing.width
