"""The zoo on disk: which trained models exist and where their checkpoints are (no torch)."""

from __future__ import annotations

import difflib
from pathlib import Path

from models.zoo.cards import ModelCard

__all__ = ["ZOO_FOLDER", "card_path", "checkpoint_path", "find_model", "list_models"]

ZOO_FOLDER = Path(__file__).resolve().parent


def card_path(name: str, folder: Path = ZOO_FOLDER) -> Path:
    """Where the card of `name` is, or would be."""
    return folder / "cards" / f"{name}.yaml"


def list_models(benchmark: str | None = None) -> tuple[ModelCard, ...]:
    """All cards, ordered by name; only those of `benchmark` if given.

    Raises `DocumentError` if a card is not one.
    """
    cards = [ModelCard.load(path) for path in sorted((ZOO_FOLDER / "cards").glob("*.yaml"))]
    return tuple(card for card in cards if benchmark in (None, card.benchmark))


def find_model(name: str) -> ModelCard:
    """The card of `name`. Raises `KeyError` with the nearest names, or all of them."""
    path = card_path(name)
    if not path.is_file():
        names = [card.stem for card in sorted((ZOO_FOLDER / "cards").glob("*.yaml"))]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.6) or names
        raise KeyError(f"no model {name!r} in the zoo; near names: {', '.join(near)}")
    return ModelCard.load(path)


def checkpoint_path(card: ModelCard, folder: Path = ZOO_FOLDER) -> Path:
    """Where the card's checkpoint is."""
    return folder / "checkpoints" / card.checkpoint
