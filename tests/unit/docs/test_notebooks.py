"""The notebooks of docs/notebooks run from top to bottom, as in Jupyter: on a loop that runs."""

from __future__ import annotations

import ast
import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import testbed
from support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def code_of(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_a_figure_comes_of_a_topology_with_the_simulator_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    (path,) = NOTEBOOKS
    names: dict[str, Any] = {}

    async def kernel() -> None:
        for number, code in enumerate(code_of(path)):
            exec(compile(code, f"{path.name}, cell {number}", "exec"), names)

    asyncio.run(kernel())
    planned, at_edge, at_home = (
        names["goodput"][policy] for policy in ("certified", "all-edge", "all-local")
    )
    assert all(a > b - 0.01 for a, b in zip(planned, at_edge, strict=True))
    assert all(a > b + 0.1 for a, b in zip(planned, at_home, strict=True))
    assert "predicted 0.858, simulated 0.85" in capsys.readouterr().out
    (axes,) = names["figure"].axes
    assert [len(line.get_xdata()) for line in axes.get_lines()] == [5, 5, 5]
    names["plt"].close("all")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_came_of_it_and_uses_public_names_alone(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    shown = [output for cell in cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert not any(output["output_type"] == "error" for output in shown)
    for node in ast.walk(ast.parse("\n".join(code_of(path)))):
        if isinstance(node, ast.ImportFrom):
            assert node.module == "testbed"
            assert {alias.name for alias in node.names} <= set(testbed.__all__)
        elif isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= {"numpy", "matplotlib.pyplot"}
