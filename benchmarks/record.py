"""Take the measurements under out/bench/ over as the committed results, and fill the page.

Run by `make bench-record`. Committed results come from a clean commit, so that a stranger who
checks that commit out has the code that was measured: results of a tree with changes are refused,
all of them, before anything is copied.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import page

__all__ = ["MEASURED", "UncommittedError", "record", "uncommitted"]

MEASURED = page.ROOT / "out" / "bench"


class UncommittedError(ValueError):
    """Results do not say which commit was measured; the message says which, and what to do."""


def uncommitted(document: dict[str, Any]) -> list[str]:
    """Commits of a file of results, or of rows of it, that cannot be checked out, sorted.

    Those are `...-dirty` (the tree had changes) and `unknown` (measured outside a repository).
    """
    about = [document["provenance"], *document["rows"]]
    commits = {str(part["commit"]) for part in about if "commit" in part}
    return sorted(c for c in commits if c.endswith("-dirty") or c == "unknown")


def record(measured: Iterable[Path], results: Path) -> list[Path]:
    """Copy files of results into the folder `results`; returns the copies.

    Raises `UncommittedError`, and copies nothing, if one of them is not of a clean commit.
    """
    paths = sorted(measured)
    refused = {
        path.name: commits
        for path in paths
        if (commits := uncommitted(json.loads(path.read_text())))
    }
    if refused:
        what = "; ".join(f"{name} ({', '.join(commits)})" for name, commits in refused.items())
        raise UncommittedError(
            f"nothing was taken over, because these were not measured on a clean commit: {what}; "
            "commit, measure again, then record"
        )
    return [Path(shutil.copy(path, results)) for path in paths]


def main() -> None:
    """Record what lies under out/bench/, then rewrite the page."""
    measured = list(MEASURED.glob("*.json"))
    if not measured:
        sys.exit(
            f"bench-record: no results in {MEASURED}; run `make bench-serving` or another first"
        )
    try:
        for path in record(measured, page.RESULTS):
            print(f"recorded {path.relative_to(page.ROOT)}")
    except UncommittedError as error:
        sys.exit(f"bench-record: {error}")
    page.main()


if __name__ == "__main__":
    main()
