"""From a card to its network with the trained weights, on the CPU."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from models.networks.architectures import find_architecture
from models.networks.multi_task import build_network
from models.zoo.cards import ModelCard
from models.zoo.checkpoint import CheckpointError, load_checkpoint
from models.zoo.fetch import present_checkpoint
from models.zoo.own_model import read_own_model
from models.zoo.registry import builder_path

__all__ = ["load_network"]


def load_network(card: ModelCard, checkpoint: Path | None = None) -> nn.Module:
    """The card's network as trained, from `checkpoint` (default: the one in the card's zoo,
    fetched if need be).

    Raises `CheckpointError` if the checkpoint is missing, changed, or does not fit the card, and
    `OwnModelError` if the file that makes the network is or does.
    """
    path = checkpoint or present_checkpoint(card)
    state = load_checkpoint(path, card.checkpoint_sha256)
    builder = builder_path(card, path)
    if builder is None:
        network: nn.Module = build_network(
            find_architecture(card.benchmark, card.size_class), card.tasks
        )
    else:
        network = read_own_model(builder, card.builder_sha256).network()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: not a {card.name}: {reason[:200]}") from None
    return network
