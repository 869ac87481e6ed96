"""Put a model of one's own into a zoo: check it, store it, measure it, write its card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cluster.document import write_atomically
from models.curation.verify import scored_pictures
from models.networks.multi_task import count_parameters
from models.runtime.model_runtime import ModelRuntime
from models.scoring.score import score_model
from models.tasks import tasks_of
from models.zoo.cards import ModelCard
from models.zoo.checkpoint import save_checkpoint
from models.zoo.own_model import OwnModel, OwnModelError, check_outputs, read_own_model
from models.zoo.registry import ZOO_FOLDER, card_path, list_models

__all__ = ["register_model"]

Progress = Callable[[int, int], None]


def register_model(
    file: Path,
    zoo: Path,
    *,
    weights: Path | None = None,
    data: Path | None = None,
    threads: int = 1,
    on_progress: Progress | None = None,
) -> ModelCard:
    """Register the model that `file` makes in the folder `zoo`; returns its card.

    `weights` is a safetensors file for the network; without it the network is stored as `build()`
    returns it. A model that is registered again is replaced. Raises `OwnModelError` for a file
    that makes no model or whose name another zoo holds, `CheckpointError` for weights that do not
    fit half precision.
    """
    own = read_own_model(file)
    _check_names(own, zoo)
    network = own.network()
    if weights is not None:
        _fill(network, weights)
    check_outputs(own, network)
    name = own.card.name
    checkpoint = zoo / "checkpoints" / f"{name}.safetensors"
    builder = zoo / "builders" / f"{name}.py"
    write_atomically(builder, file.read_bytes())
    card = ModelCard(
        name=name,
        benchmark=own.card.benchmark,
        tasks=own.card.tasks,
        backbone=own.card.backbone,
        size_class="own",
        preprocessing=own.card.preprocessing,
        parameters=max(1, count_parameters(network)),
        metrics={},
        checkpoint=checkpoint.name,
        checkpoint_sha256=save_checkpoint(network.state_dict(), checkpoint),
        builder=builder.name,
        builder_sha256=own.sha256,
        steps=0,
        seed=0,
        pretrained=own.card.pretrained,
        train_command=f"testbed zoo register {file.name}",
        licence=own.card.licence,
    )
    runtime = ModelRuntime.load(card, threads=threads, checkpoint=checkpoint)
    try:
        metrics = score_model(runtime, scored_pictures(card, data), on_progress)
    finally:
        runtime.close()
    card = card.model_copy(update={"metrics": metrics})
    card.save(card_path(name, zoo))
    return card


def _check_names(own: OwnModel, zoo: Path) -> None:
    if zoo.resolve() == ZOO_FOLDER:
        raise OwnModelError(f"{zoo}: the package's own zoo; give a folder of your own")
    known = tasks_of(own.card.benchmark)
    if not known:
        raise OwnModelError(f"{own.path}: CARD: benchmark: there is no {own.card.benchmark!r}")
    for task in own.card.tasks:
        if task not in known:
            raise OwnModelError(
                f"{own.path}: CARD: tasks: {own.card.benchmark} has no {task!r}; it has "
                f"{', '.join(known)}"
            )
    elsewhere = {card.name for card in list_models()}
    if own.card.name in elsewhere and not card_path(own.card.name, zoo).is_file():
        raise OwnModelError(f"{own.path}: CARD: name: another zoo holds {own.card.name!r}")


def _fill(network: nn.Module, weights: Path) -> None:
    try:
        network.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise OwnModelError(f"{weights}: not the weights of build(): {reason[:200]}") from None
