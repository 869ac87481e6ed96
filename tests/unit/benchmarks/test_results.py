"""The committed results and the page that shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from page import PAGE, RESULTS, filled, table
from record import uncommitted

SHOWN = [RESULTS / name for name in re.findall(r"<!-- results/(\w+\.json) -->", PAGE.read_text())]


def test_committed_results_are_of_clean_commits() -> None:
    documents = {path.name: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    assert documents
    found = {name: commits for name, each in documents.items() if (commits := uncommitted(each))}
    assert not found


def test_the_page_shows_the_committed_results() -> None:
    page = PAGE.read_text()
    assert RESULTS / "serving.json" in SHOWN
    assert filled(page) == page, "run `make bench-record`"


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.name)
def test_rows_have_the_form_that_programs_read(path: Path) -> None:
    document = json.loads(path.read_text())
    identities = [row["id"] for row in document["rows"]]
    assert len(set(identities)) == len(identities) > 0
    for row in document["rows"]:
        assert row.keys() >= {"id", "what", "value", "unit", "n"}
        if row["value"] is None:
            assert row["error"]
        else:
            low, high = row["spread"]
            assert low <= row["value"] <= high


def test_the_page_says_which_rows_are_of_an_earlier_commit() -> None:
    about = {
        "command": "c", "created_at": "2026-01-01T00:00:00", "commit": "new", "processor": "p",
        "cores": 2, "versions": {"python": "3"},
    }  # fmt: skip
    row = {"what": "w", "value": 1, "unit": "s", "n": 1, "spread": [1, 1]}
    rows = [{**row, "id": "A", "commit": "old"}, {**row, "id": "B", "commit": "new"},
            {**row, "id": "C"}]  # fmt: skip
    assert table({"provenance": about, "rows": rows}).splitlines()[0].endswith(". At `old`: A.")
    assert "At `" not in table({"provenance": about, "rows": rows[1:]})


def test_a_row_that_could_not_be_measured_says_why_on_the_page() -> None:
    row = {"id": "S5.x", "what": "one hop / X", "value": None, "unit": "ratio", "n": 0}
    provenance = {
        "command": "c", "created_at": "2026-01-01T00:00:00", "commit": "abc", "processor": "p",
        "cores": 2, "versions": {"python": "3"},
    }  # fmt: skip
    text = table({"provenance": provenance, "rows": [{**row, "error": "no wheel for this Python"}]})
    assert re.search(r"\| S5\.x \|.*not measured, no wheel for this Python", text)
