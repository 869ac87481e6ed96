"""What pairs of tasks say about training together, as Markdown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cluster.errors import UnknownNameError
from models.curation.markdown import NONE, line, short
from models.tasks import tasks_of
from models.training.affinity import SIZE_CLASS, Affinity, Network, best_networks
from models.zoo.cards import ModelCard
from models.zoo.registry import ZOO_FOLDER, list_models

__all__ = ["affinity_path", "affinity_table", "grouping_table", "load_affinity"]


def affinity_path(benchmark: str, folder: Path = ZOO_FOLDER) -> Path:
    """Where the pairs of a benchmark are kept."""
    return folder / "affinity" / f"{benchmark}.yaml"


def load_affinity(benchmark: str) -> Affinity:
    """The pairs of a benchmark, with its tasks in their order.

    Raises `UnknownNameError` if there are none, and `DocumentError`.
    """
    path = affinity_path(benchmark)
    if not path.exists():
        names = ", ".join(sorted(there.stem for there in path.parent.glob("*.yaml")))
        raise UnknownNameError(f"no pairs of {benchmark!r} were trained; benchmarks: {names}")
    found = Affinity.load(path)
    ordered = {task: found.alone[task] for task in tasks_of(benchmark)}
    return found.model_copy(update={"alone": ordered})


def affinity_table(benchmark: str) -> str:
    """A row for each task as company: what it brings each other task; bold where the difference is
    larger than both intervals together."""
    affinity = load_affinity(benchmark)
    tasks = affinity.tasks
    lines = [line(["beside", *map(short, tasks), "mean"]), line(["---"] * (len(tasks) + 2))]
    for j in tasks:
        cells, gains = [], []
        for i in tasks:
            if i == j:
                cells.append(NONE)
                continue
            alone, beside = affinity.alone[i], affinity.together(i, j)
            gains.append(beside.value - alone.value)
            sure = abs(gains[-1]) > alone.half_width + beside.half_width
            cells.append(f"**{gains[-1]:+.3f}**" if sure else f"{gains[-1]:+.3f}")
        lines.append(line([short(j), *cells, f"{np.mean(gains):+.3f}"]))
    return "\n".join(lines)


def grouping_table(benchmark: str) -> str:
    """A row for each number of networks: the best sets that the pairs predict, their predicted
    mean, and the measured one where all of them were trained."""
    affinity = load_affinity(benchmark)
    cards = {
        frozenset(card.tasks): card
        for card in list_models(benchmark)
        if card.size_class == SIZE_CLASS and not card.teacher
    }
    lines = [line(["networks", "trained for", "predicted", "measured"]), line(["---"] * 4)]
    fewer = 0
    for most in range(1, len(affinity.tasks) + 1):
        networks, mean = best_networks(affinity, most)
        if len(networks) == fewer:  # one more would not help
            break
        fewer = len(networks)
        named = "; ".join(map(_name, networks))
        lines.append(line([str(most), named, f"{mean:.3f}", _measured(affinity, cards, networks)]))
    return "\n".join(lines)


def _name(network: Network) -> str:
    """Tasks that are only trained, not asked, are in brackets."""
    return " + ".join(
        short(task) if task in network.asked else f"({short(task)})" for task in network.trained
    )


def _measured(
    affinity: Affinity, cards: dict[frozenset[str], ModelCard], networks: tuple[Network, ...]
) -> str:
    scores = []
    for network in networks:
        for task in network.asked:
            if len(network.trained) == 1:
                scores.append(affinity.alone[task].value)
            elif len(network.trained) == 2:
                (other,) = set(network.trained) - {task}
                scores.append(affinity.together(task, other).value)
            elif (card := cards.get(frozenset(network.trained))) is not None:
                scores.append(card.accuracy(task))
            else:
                return NONE
    return f"{np.mean(scores):.3f}"
