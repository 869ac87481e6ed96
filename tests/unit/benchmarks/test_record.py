"""Committed results come from a clean commit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from record import UncommittedError, main, record, uncommitted


def results(commit: str, row_commit: str | None = None) -> dict[str, Any]:
    row = {"id": "P1"} if row_commit is None else {"id": "P1", "commit": row_commit}
    return {"provenance": {"commit": commit}, "rows": [row]}


def write(folder: Path, name: str, document: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(document))
    return path


def test_results_of_a_clean_commit_are_copied(tmp_path: Path) -> None:
    measured = write(tmp_path / "bench", "planner.json", results("81aa4758a8b8"))
    (tmp_path / "results").mkdir()
    (copied,) = record([measured], tmp_path / "results")
    assert copied == tmp_path / "results" / "planner.json"
    assert copied.read_bytes() == measured.read_bytes()


def test_one_file_of_a_tree_with_changes_refuses_all_in_one_line(tmp_path: Path) -> None:
    clean = write(tmp_path / "bench", "models.json", results("81aa4758a8b8"))
    dirty = write(tmp_path / "bench", "serving.json", results("b7552de47239-dirty"))
    (tmp_path / "results").mkdir()
    with pytest.raises(UncommittedError) as refused:
        record([clean, dirty], tmp_path / "results")
    assert "serving.json (b7552de47239-dirty)" in str(refused.value)
    assert "models.json" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (results("81aa4758a8b8", "ff8259c2372b"), []),
        (results("81aa4758a8b8", "ff8259c2372b-dirty"), ["ff8259c2372b-dirty"]),
        (results("unknown"), ["unknown"]),
    ],
    ids=["rows of another commit", "a row with changes", "outside a repository"],
)
def test_rows_with_a_commit_of_their_own_are_looked_at_too(
    document: dict[str, Any], found: list[str]
) -> None:
    assert uncommitted(document) == found


def test_the_command_says_in_one_line_why_it_took_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("record.MEASURED", tmp_path / "bench")
    monkeypatch.setattr("page.RESULTS", tmp_path / "results")
    with pytest.raises(SystemExit, match=r"no results in .*; run `make bench-serving`"):
        main()
    write(tmp_path / "bench", "serving.json", results("b7552de47239-dirty"))
    with pytest.raises(SystemExit, match=r"^bench-record: .*b7552de47239-dirty.*$"):
        main()
    assert not (tmp_path / "results").exists()
