"""`docs/models.md`: its code runs and its numbers are the cards'."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.tasks import TASKS
from models.zoo.cards import ModelCard
from models.zoo.registry import list_models

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run(code: str) -> None:
    exec(compile(code, "docs/models.md", "exec"), {})


@pytest.mark.parametrize("card", list_models("rooms"), ids=lambda card: card.name)
def test_the_table_states_the_cards_numbers(card: ModelCard) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{card.name}` |"))
    cells = [cell.strip() for cell in row.split("|")[2 : 2 + len(TASKS)]]
    for task, cell in zip(TASKS, cells, strict=True):
        metric = card.metrics.get(task)
        wanted = f"{metric.value:.3f} ± {metric.half_width:.3f}" if metric else "–"
        assert cell == wanted


def test_every_task_is_described() -> None:
    for task in TASKS.values():
        assert f"| `{task.name}` |" in PAGE
