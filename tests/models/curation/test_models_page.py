"""`docs/models.md`: its code runs and its numbers are the cards'."""

from __future__ import annotations

import re

import pytest

from models.benchmarks.registry import BENCHMARKS
from models.curation.tables import fill_page
from models.tasks import tasks_of
from models.zoo.registry import list_models
from support.paths import ROOT

PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
DOMAINS = tasks_of("domains")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run(code: str) -> None:
    exec(compile(code, "docs/models.md", "exec"), {})


def test_every_example_checks_what_it_shows() -> None:
    assert EXAMPLES
    assert all(re.search(r"^assert ", code, flags=re.MULTILINE) for code in EXAMPLES)


def test_the_tables_are_those_of_the_cards() -> None:
    # If this fails: python -m models.curation.tables docs/models.md
    assert fill_page(PAGE) == PAGE
    marks = re.findall(r"<!-- (zoo|transfer|affinity|grouping) (\S+) -->", PAGE)
    for what in ("transfer", "affinity", "grouping"):
        assert {name for kind, name in marks if kind == what} == set(BENCHMARKS)
    assert {name for what, name in marks if what == "zoo"} == {c.benchmark for c in list_models()}
    for card in list_models():
        assert f"| `{card.name}` |" in PAGE


def test_every_task_is_described() -> None:
    described = PAGE.replace("`real` … `infograph`", " ".join(f"| `{t}`" for t in DOMAINS))
    for benchmark in BENCHMARKS:
        for task in tasks_of(benchmark):
            assert f"| `{task}`" in described
    assert "`real` … `infograph`" in PAGE
