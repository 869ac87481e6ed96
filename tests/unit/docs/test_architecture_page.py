"""docs/architecture.md: what it points at is there, and its picture shows the imports there are."""

from __future__ import annotations

import ast
import re
import runpy
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support.paths import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FORMULATION = (ROOT / "docs" / "formulation.md").read_text(encoding="utf-8")
PICTURE = ROOT / "docs" / "images" / "folders.svg"
NOT_OURS = {"out", "build", "dist"}
"""folders at the root that programs write"""
MIRRORS = ("tests/unit/", "tests/models/")
"""whose folders are those of what they test; `tests/models` may leave out `models` or `serving`"""


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables in `text`, heads and rules left out."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = table.splitlines()[2:]
        found += [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]
    return found


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


PLACES = [
    (question, quoted(file), quoted(symbol))
    for question, file, symbol in rows(section("Where things are"))
]


@cache
def defined(path: Path) -> frozenset[str]:
    """Names that a Python file defines, those inside its classes as `Class.name`."""
    return frozenset(_definitions(ast.parse(path.read_text()).body, ""))


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield prefix + node.name
            yield from _definitions(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))


def python_folders() -> list[str]:
    """Every folder of the checkout that has Python files, except those that programs write."""
    tops = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in NOT_OURS]
    ours = [path for path in tops if not path.name.startswith(".")]
    files = [file for top in ours for file in top.rglob("*.py")]
    return sorted({str(file.parent.relative_to(ROOT)) for file in files})


def test_forty_questions_are_answered() -> None:
    questions = [question for question, _, _ in PLACES]
    assert len(questions) >= 40
    assert len(set(questions)) == len(questions)
    assert all(paths for _, paths, _ in PLACES)


@pytest.mark.parametrize(("question", "paths", "symbols"), PLACES, ids=[p[0] for p in PLACES])
def test_an_answer_names_a_place_that_exists(
    question: str, paths: list[str], symbols: list[str]
) -> None:
    """Several files have a symbol each; one file has all of them."""
    places = paths if len(paths) > 1 else paths * max(1, len(symbols))
    for path in places:
        assert (ROOT / path).exists(), path
    for path, symbol in zip(places, symbols, strict=bool(symbols)):
        assert symbol in defined(ROOT / path), f"{path} does not define {symbol}"


@pytest.mark.parametrize("title", ["The way of a query", "The way of a plan"])
def test_every_file_and_name_of_the_two_ways_exists(title: str) -> None:
    words = quoted(section(title))
    files = [word for word in words if word.endswith(".py")]
    there = {file: next((p for p in (ROOT / file, ROOT / "serving" / file) if p.exists()), None)
             for file in files}  # fmt: skip
    assert [file for file, path in there.items() if path is None] == []
    names = set().union(*(defined(path) for path in there.values() if path is not None))
    camel = [word for word in words if re.fullmatch(r"[A-Z][a-z]+[A-Za-z]*(\.\w+)?", word)]
    calls = [word for word in words if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)]
    reasons = defined(ROOT / "serving" / "errors.py")
    known = names | {name.split(".")[1].lower() for name in reasons if "." in name}
    assert len(files) >= 10
    assert [word for word in (*camel, *calls) if word not in known] == []


def test_every_folder_with_python_files_is_named() -> None:
    folders = python_folders()
    named = {name for cells in rows(section("Folders")) for name in quoted(cells[0])}
    assert len(folders) > 40
    assert [folder for folder in folders if not is_named(folder, named)] == []
    assert [name for name in sorted(named) if name not in folders] == []


def is_named(folder: str, named: set[str]) -> bool:
    """Whether it is, or mirrors another folder, or only holds folders."""
    if folder in named:
        return True
    for mirror in MIRRORS:
        if folder.startswith(mirror):
            tested = folder.removeprefix(mirror)
            above = ("", "models/", "serving/") if mirror == "tests/models/" else ("",)
            return any((ROOT / f"{name}{tested}").is_dir() for name in above)
    return not own_files(folder)


def own_files(folder: str) -> list[Path]:
    """Python files of the folder itself that hold more than a docstring."""
    return [file for file in (ROOT / folder).glob("*.py") if holds_code(file)]


def holds_code(file: Path) -> bool:
    tree = ast.parse(file.read_text())
    return len(tree.body) > (ast.get_docstring(tree) is not None)


def test_the_terms_of_the_glossary_are_unique_and_sorted() -> None:
    terms = [cells[0] for cells in rows(section("Glossary"))]
    assert len(terms) >= 30
    assert terms == sorted(set(terms), key=str.lower)


def test_the_symbols_of_the_glossary_are_those_of_the_formulation() -> None:
    symbols = [symbol for cells in rows(section("Glossary")) for symbol in cells[2].split(", ")]
    spoken = [symbol for symbol in symbols if symbol]
    assert len(spoken) > 20
    assert [symbol for symbol in spoken if symbol not in FORMULATION] == []


def drawn() -> dict[str, tuple[float, float]]:
    """folder -> (x, y) of its name in the picture."""
    texts = ET.parse(PICTURE).getroot().iter("{http://www.w3.org/2000/svg}text")
    return {
        text.attrib["data-folder"]: (float(text.attrib["x"]), float(text.attrib["y"]))
        for text in texts
        if text.get("class") == "folder"
    }


def imports() -> set[tuple[str, str]]:
    """(folder, folder that one of its files imports), folders as they are drawn."""
    boxes = drawn()
    found = set()
    for folder in {box.split("/")[0] for box in boxes}:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    imported = ROOT / node.module.replace(".", "/")
                    target = imported if imported.is_dir() else imported.parent
                    found.add((box_of(file.parent, boxes), box_of(target, boxes)))
    return {(a, b) for a, b in found if a and b and a != b}


def box_of(folder: Path, boxes: dict[str, tuple[float, float]]) -> str:
    """The innermost box that holds `folder`; nothing for other people's folders."""
    inside = [box for box in boxes if folder == ROOT / box or ROOT / box in folder.parents]
    return max(inside, key=len, default="")


def test_the_picture_is_what_its_script_draws() -> None:
    """If this fails: python docs/images/draw_folders.py"""
    draw = runpy.run_path(str(PICTURE.with_name("draw_folders.py")))["draw"]
    assert PICTURE.read_text(encoding="utf-8") == draw()


def test_the_picture_has_every_folder_of_the_project() -> None:
    boxes = drawn()
    tops = {box.split("/")[0] for box in boxes}
    ours = [folder for folder in python_folders() if folder.split("/")[0] in tops]
    left_out = [folder for folder in ours if own_files(folder) and not box_of(ROOT / folder, boxes)]
    assert left_out == ["serving"]  # its two files are below every box
    assert all((ROOT / folder).is_dir() for folder in boxes)


def test_imports_go_down_or_to_the_right_in_the_picture() -> None:
    boxes, arrows = drawn(), imports()
    assert len(arrows) > 50
    backwards = []
    for importing, imported in arrows:
        (x, y), (to_x, to_y) = boxes[importing], boxes[imported]
        same = importing.split("/")[0] == imported.split("/")[0]
        if not (to_y > y if same else to_x > x or (to_x == x and to_y > y)):
            backwards.append(f"{importing} imports {imported}")
    assert backwards == []
