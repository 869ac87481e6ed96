"""Write the figures of benchmarks/results/*.json into the tables of docs/benchmarks.md.

`make bench-record` does this after it has taken new results over (record.py). A table stands
between the lines `<!-- results/NAME.json -->` and `<!-- end of results/NAME.json -->`; the rest of
the page is written by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "RESULTS", "filled", "table"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(
    r"(?P<begin><!-- results/(?P<name>\w+)\.json -->\n).*?"
    r"(?P<end><!-- end of results/(?P=name)\.json -->)",
    re.DOTALL,
)


def filled(page: str, results: Path = RESULTS) -> str:
    """`page` with every table as the results are now. Raises `FileNotFoundError` for a table
    whose results are not there."""

    def fill(block: re.Match[str]) -> str:
        document = json.loads((results / f"{block['name']}.json").read_text())
        return block["begin"] + table(document) + block["end"]

    return BLOCK.sub(fill, page)


def table(document: dict[str, Any]) -> str:
    """One file of results as Markdown."""
    about = document["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"`{about['command']}`, {about['created_at'][:10]}, commit `{about['commit']}`, "
        f"{about['processor']}, {about['cores']} cores; {versions}.{_of_other_commits(document)}",
        "",
        "| row | median | range | unit | n | what |",
        "|---|---:|---|---|---:|---|",
        *(_line(row) for row in document["rows"]),
    ]
    return "\n".join(lines) + "\n"


def _of_other_commits(document: dict[str, Any]) -> str:
    """Which rows were measured at another commit than the latest section of the file."""
    latest = document["provenance"]["commit"]
    rows_of: dict[str, list[str]] = {}
    for row in document["rows"]:
        if (commit := row.get("commit", latest)) != latest:
            rows_of.setdefault(commit, []).append(row["id"])
    return "".join(f" At `{commit}`: {', '.join(rows)}." for commit, rows in rows_of.items())


def _line(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return f"| {row['id']} | | | | | {row['what']}: not measured, {row['error']} |"
    low, high = row["spread"]
    spread = f"{_figure(low)} to {_figure(high)}"
    return (
        f"| {row['id']} | {_figure(row['value'])} | {spread} | {row['unit']} | {row['n']} "
        f"| {row['what']} |"
    )


def _figure(value: float) -> str:
    """Three digits that mean something; two more just below one, where they are what counts."""
    if 0.99 <= value < 1:
        return f"{value:.5f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(filled(PAGE.read_text()))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
