"""How large the pictures of a task are as they travel: what the neediest of its models takes.

A door decodes a picture once, before a model is chosen, and links carry pixels, so all queries of
a task have one size. A model that takes another fits them on its own node (`ModelRuntime.run`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cluster.errors import InputError
from models.zoo.cards import ModelCard, Preprocessing

__all__ = ["input_of"]


def input_of(cards: Sequence[ModelCard], tasks: Collection[str]) -> Preprocessing:
    """The input of the model that serves any of `tasks` and takes the most pixels; of equals the
    first. Raises `InputError` if no card serves any."""
    serving = [card for card in cards if not set(tasks).isdisjoint(card.tasks)]
    if not serving:
        raise InputError(f"no model of the zoo serves {', '.join(tasks)}")
    return max(
        (card.preprocessing for card in serving), key=lambda taken: taken.height * taken.width
    )
