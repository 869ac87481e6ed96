"""The zoo on disk: which trained models exist and where their files are (no torch).

A zoo is a folder with `cards/NAME.yaml`, `checkpoints/NAME.safetensors` and, for networks of one's
own, `builders/NAME.py`. The one that ships with the package is always there; `J3O_ZOO` names more,
separated as in PATH.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from cluster.errors import InputError, UnknownNameError
from models.zoo.cards import ModelCard

__all__ = [
    "ZOO_FOLDER",
    "ZOO_VARIABLE",
    "builder_path",
    "card_path",
    "checkpoint_path",
    "find_model",
    "list_models",
    "zoo_folders",
]

ZOO_FOLDER = Path(__file__).resolve().parent
ZOO_VARIABLE = "J3O_ZOO"


def zoo_folders() -> tuple[Path, ...]:
    """Every zoo, the package's own first."""
    named = [Path(part) for part in os.environ.get(ZOO_VARIABLE, "").split(os.pathsep) if part]
    return (ZOO_FOLDER, *(folder.resolve() for folder in named))


def card_path(name: str, folder: Path = ZOO_FOLDER) -> Path:
    """Where the card of `name` is, or would be."""
    return folder / "cards" / f"{name}.yaml"


def list_models(benchmark: str | None = None) -> tuple[ModelCard, ...]:
    """All cards, ordered by name; only those of `benchmark` if given.

    Raises `DocumentError` if a card is not one, `InputError` if `J3O_ZOO` names a folder that is
    not there or two zoos hold a model of the same name.
    """
    cards = [ModelCard.load(path) for _, path in sorted(_cards().items())]
    return tuple(card for card in cards if benchmark in (None, card.benchmark))


def find_model(name: str) -> ModelCard:
    """The card of `name`. Raises `UnknownNameError` with the nearest names."""
    cards = _cards()
    if name not in cards:
        near = difflib.get_close_matches(name, cards, n=3, cutoff=0.6)
        told = f"near names: {', '.join(near)}" if near else "`testbed zoo list` has them all"
        raise UnknownNameError(f"no model {name!r} in the zoo; {told}")
    return ModelCard.load(cards[name])


def checkpoint_path(card: ModelCard, folder: Path | None = None) -> Path:
    """Where the card's checkpoint is: in `folder`, else in the zoo that holds the card."""
    return (folder or _zoo_of(card)) / "checkpoints" / card.checkpoint


def builder_path(card: ModelCard, checkpoint: Path) -> Path | None:
    """The file that makes the card's network, in the zoo of its checkpoint; None for the testbed's
    own networks."""
    return checkpoint.parent.parent / "builders" / card.builder if card.builder else None


def _zoo_of(card: ModelCard) -> Path:
    found = _cards().get(card.name)
    return found.parent.parent if found else ZOO_FOLDER


def _cards() -> dict[str, Path]:
    """Path of every card by the model's name."""
    cards: dict[str, Path] = {}
    for folder in zoo_folders():
        if not folder.is_dir():
            raise InputError(f"{ZOO_VARIABLE}: no folder {folder}")
        for path in (folder / "cards").glob("*.yaml"):
            if path.stem in cards:
                raise InputError(f"{path}: {cards[path.stem]} holds a model of this name already")
            cards[path.stem] = path
    return cards
