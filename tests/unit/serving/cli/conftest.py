"""Every table that a test of a verb makes is looked at: 80 columns must be enough for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.table import Table

from serving.cli.console import VerbOutput
from support.narrow_tables import broken_words


@pytest.fixture(autouse=True)
def narrow_tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    broken: dict[str, list[str]] = {}
    show = VerbOutput.table

    def table(self: VerbOutput, table: Table) -> None:
        show(self, table)
        found = broken_words(table)
        if found:
            broken[str(table.title or [column.header for column in table.columns])] = found

    monkeypatch.setattr(VerbOutput, "table", table)
    yield
    assert not broken, f"words that 80 columns break, by table: {broken}"
