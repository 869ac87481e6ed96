"""The zoo as Markdown, from its cards.

`python -m models.curation.tables docs/models.md` rewrites what the page holds between its marks
`<!-- zoo BENCHMARK -->`, `transfer`, `affinity` or `grouping` instead of `zoo`, and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.curation.affinity_tables import affinity_table, grouping_table
from models.curation.markdown import NONE, line, short
from models.tasks import tasks_of
from models.zoo.cards import ModelCard
from models.zoo.registry import checkpoint_path, list_models

__all__ = ["SIZE_CLASSES", "fill_page", "transfer_table", "zoo_table"]

SIZE_CLASSES = ("small", "middle", "large")
_MARKED = re.compile(
    r"(?P<mark><!-- (?P<what>zoo|transfer|affinity|grouping) (?P<benchmark>\S+) -->)\n"
    r".*?<!-- end -->",
    re.DOTALL,
)


def fill_page(page: str) -> str:
    """`page` with every marked table made anew."""

    def made(found: re.Match[str]) -> str:
        table = TABLES[found["what"]](found["benchmark"])
        return f"{found['mark']}\n{table}\n<!-- end -->"

    return _MARKED.sub(made, page)


def zoo_table(benchmark: str) -> str:
    """A row a model, by size class and number of tasks: its metrics and its size."""
    tasks = tasks_of(benchmark)
    lines = [
        line(["model", *(short(task) for task in tasks), "parameters", "file"]),
        line(["---"] * (len(tasks) + 3)),
    ]
    for card in _ordered(list_models(benchmark)):
        scores = [
            f"{card.metrics[task].value:.3f} ± {card.metrics[task].half_width:.3f}"
            if task in card.metrics
            else NONE
            for task in tasks
        ]
        size_mb = checkpoint_path(card).stat().st_size / 1e6
        parameters = f"{card.parameters / 1e6:.2f} M"
        lines.append(line([f"`{card.name}`", *scores, parameters, f"{size_mb:.1f} MB"]))
    return "\n".join(lines)


def transfer_table(benchmark: str, size_class: str = "small") -> str:
    """What training together does at one size: metric of each set less the single-task model's.

    The last column is the mean over the set's tasks; bold where the difference is larger than
    both intervals together.
    """
    cards = {card.tasks: card for card in list_models(benchmark) if card.size_class == size_class}
    alone = {tasks[0]: card for tasks, card in cards.items() if len(tasks) == 1}
    tasks = tasks_of(benchmark)
    lines = [
        line(["trained together", *(short(task) for task in tasks), "mean"]),
        line(["---"] * (len(tasks) + 2)),
    ]
    for card in _ordered(tuple(cards.values())):
        if len(card.tasks) == 1 or not all(task in alone for task in card.tasks):
            continue
        gains = {task: card.accuracy(task) - alone[task].accuracy(task) for task in card.tasks}
        cells = [_gain(gains[task], card, alone[task], task) if task in gains else NONE
                 for task in tasks]  # fmt: skip
        mean = f"{np.mean(list(gains.values())):+.3f}"
        lines.append(line([card.name.removeprefix(f"{benchmark}-{size_class}-"), *cells, mean]))
    return "\n".join(lines)


def _gain(gain: float, card: ModelCard, alone: ModelCard, task: str) -> str:
    sure = abs(gain) > card.metrics[task].half_width + alone.metrics[task].half_width
    return f"**{gain:+.3f}**" if sure else f"{gain:+.3f}"


def _ordered(cards: Sequence[ModelCard]) -> list[ModelCard]:
    order = {name: place for place, name in enumerate(SIZE_CLASSES)}
    return sorted(
        cards,
        key=lambda card: (
            order.get(card.size_class, len(order)),
            len(card.tasks),
            [tasks_of(card.benchmark).index(task) for task in card.tasks],
        ),
    )


TABLES: dict[str, Callable[[str], str]] = {
    "zoo": zoo_table,
    "transfer": transfer_table,
    "affinity": affinity_table,
    "grouping": grouping_table,
}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(fill_page(path.read_text(encoding="utf-8")), encoding="utf-8")
