"""Every link of the pages leads somewhere, and every file that they name is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = (
    "benchmarks/",
    "cluster/",
    "docs/",
    "models/",
    "planner/",
    "profiling/",
    "serving/",
    "tests/",
)
"""how a path of this repository begins"""


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_paths(page: Path) -> list[str]:
    """Paths in backquotes; one with a placeholder such as `<name>` is none."""
    words = re.findall(r"`([^`\n]+)`", prose(page))
    return [word for word in words if word.startswith(NAMED) and not re.search(r"[<>*$ ]", word)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        leads_to = (page.parent / path).resolve() if path else page
        if not leads_to.exists() or (anchor and anchor not in anchors(leads_to)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_path_that_is_named_exists(page: Path) -> None:
    assert [path for path in named_paths(page) if not (ROOT / path.rstrip("/")).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_name_after_a_path_is_defined_there(page: Path) -> None:
    """Written `planner/evaluate.py: shares_f2`, or `... : first … last` for a row of them."""
    missing = []
    for path, names in re.findall(r"`([\w/]+\.py): ([^`]+)`", prose(page)):
        tree = ast.parse((ROOT / path).read_text())
        there = {node.name for node in ast.walk(tree)
                 if isinstance(node, ast.FunctionDef | ast.ClassDef)}  # fmt: skip
        missing += [f"{path}: {name}" for name in names.split(" … ") if name not in there]
    assert missing == []


def test_broken_links_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading: two\n`planner/none.py` and `models/zoo/cards/<name>.yaml`\n")
    assert anchors(page) == {"a-heading-two"}
    assert named_paths(page) == ["planner/none.py"]
