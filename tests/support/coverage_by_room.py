"""`make coverage`: what `coverage json` measured, added up by folder.

Usage: python tests/support/coverage_by_room.py REPORT.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

__all__ = ["by_room", "table"]

COUNTS = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def by_room(report: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """`COUNTS` of each folder without its subfolders, sorted by name, and at last the `total`."""
    rooms: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for path, measured in report["files"].items():
        for count in COUNTS:
            rooms[str(PurePath(path).parent)][count] += measured["summary"][count]
    total = {count: report["totals"][count] for count in COUNTS}
    return {**dict(sorted(rooms.items())), "total": total}


def table(report: Mapping[str, Any]) -> str:
    """The rooms as text. What was reached is a share of lines and branches together."""
    rooms = by_room(report)
    width = max(map(len, rooms))
    lines = [f"{'room':{width}}  lines  branches  reached"]
    for room, counts in rooms.items():
        statements, reached_lines, branches, reached_branches = (counts[count] for count in COUNTS)
        everything = statements + branches
        share = (reached_lines + reached_branches) / everything if everything else 1.0
        lines.append(f"{room:{width}}  {statements:5}  {branches:8}  {share:7.1%}")
    return "\n".join(lines)


def main() -> None:
    """Print the table of the report that the first argument names."""
    print(table(json.loads(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
