"""The table of `make coverage`: files added up by folder."""

from __future__ import annotations

from typing import Any

from support.coverage_by_room import by_room, table


def counts(lines: int, reached: int, branches: int, reached_branches: int) -> dict[str, int]:
    return {
        "num_statements": lines,
        "covered_lines": reached,
        "num_branches": branches,
        "covered_branches": reached_branches,
    }


REPORT: dict[str, Any] = {
    "files": {
        "serving/http/parser.py": {"summary": counts(10, 9, 4, 1)},
        "serving/http/server.py": {"summary": counts(20, 20, 6, 5)},
        "serving/errors.py": {"summary": counts(8, 4, 0, 0)},
        "serving/__init__.py": {"summary": counts(0, 0, 0, 0)},
        "planner/__init__.py": {"summary": counts(0, 0, 0, 0)},
    },
    "totals": counts(38, 33, 10, 6),
}


def test_files_of_a_folder_are_added_up_and_its_subfolders_are_rooms_of_their_own() -> None:
    rooms = by_room(REPORT)
    assert list(rooms) == ["planner", "serving", "serving/http", "total"]
    assert rooms["serving/http"] == counts(30, 29, 10, 6)
    assert rooms["serving"] == counts(8, 4, 0, 0)
    assert rooms["total"] == REPORT["totals"]


def test_the_share_counts_lines_and_branches_and_an_empty_room_is_whole() -> None:
    shares = {line.split()[0]: line.split()[-1] for line in table(REPORT).splitlines()[1:]}
    assert shares == {
        "planner": "100.0%",
        "serving": "50.0%",
        "serving/http": "87.5%",  # (29 + 6) / (30 + 10)
        "total": "81.2%",  # (33 + 6) / (38 + 10)
    }
