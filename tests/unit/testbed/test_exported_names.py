"""What `import testbed` offers: an exact set of names, each documented; light, and no logic."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys

import pytest

import testbed
from support.paths import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.M))
CODE = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.S))
TREE = ast.parse((ROOT / "testbed" / "__init__.py").read_text())
EXPORTED = {
    "Allocation", "AsyncClient", "BadRequestError", "BatchLatency", "Batching", "Certificate",
    "Client", "ClientError", "DeadlineError", "Demand", "DocumentError", "Evaluation",
    "Explanation", "Link", "Measurements", "MissingExtraError", "ModelCard", "ModelProfile", "Node",
    "NotServedHereError", "Options", "Phase", "Plan", "PlanError", "Policy", "PolicyError",
    "Prediction", "Problem", "ProblemError", "Profiles", "RefusedHereError", "Report", "Route",
    "RunSummary", "Setting", "Solution", "Tier", "Topology", "UnauthorisedError",
    "UnknownPolicyError", "UnreachableError", "Violation", "evaluate", "explain", "find_model",
    "list_models", "list_policies", "make_environment", "sample_problem", "simulate", "solve",
    "summarise_run", "write_report",
}  # fmt: skip
"""A name that goes, or comes, is a decision about the public interface."""


def run(code: str) -> str:
    """What `code` prints in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def names_for_type_checkers() -> dict[str, str]:
    """name -> module of the imports under `if TYPE_CHECKING`."""
    (block,) = (node for node in TREE.body if isinstance(node, ast.If))
    return {
        alias.name: node.module or ""
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_exported_names_are_these() -> None:
    assert set(testbed.__all__) == EXPORTED
    assert set(dir(testbed)) >= EXPORTED


def test_type_checkers_and_python_are_told_the_same() -> None:
    assert names_for_type_checkers() == testbed._HOMES  # type: ignore[attr-defined]
    assert set(testbed._HOMES) == EXPORTED  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(EXPORTED))
def test_each_name_is_there_explained_and_shown(name: str) -> None:
    found = getattr(testbed, name)
    assert found.__doc__
    assert not found.__doc__.startswith(f"{name}("), "a dataclass's own signature, not a docstring"
    assert len(ROWS[name].split()) >= 2
    assert len(re.findall(rf"\b{name}\b", CODE)) >= 2, "imported by an example, and used"


def test_the_page_has_no_name_that_is_not_exported() -> None:
    assert set(ROWS) == EXPORTED
    imported = re.findall(r"from testbed import \(?([\w,\s]+?)\)?\n(?=\n|\w|$)", CODE)
    assert set(re.findall(r"\w+", " ".join(imported))) == EXPORTED


def test_what_is_not_exported_is_not_found() -> None:
    with pytest.raises(AttributeError, match="module 'testbed' has no name 'Fleet'"):
        testbed.Fleet  # type: ignore[attr-defined]  # noqa: B018


def test_the_package_itself_imports_next_to_nothing() -> None:
    code = (
        "import json, sys, time\n"
        "begun_s = time.process_time()\n"
        "import testbed\n"
        "spent_s = time.process_time() - begun_s\n"
        "rooms = {'cluster', 'models', 'planner', 'profiling', 'serving', 'numpy'}\n"
        "early = sorted(rooms & sys.modules.keys())\n"
        "for name in testbed.__all__: getattr(testbed, name)\n"
        "late = sorted({'torch', 'ray', 'timm', 'matplotlib', 'gurobipy'} & sys.modules.keys())\n"
        "print(json.dumps([spent_s, early, late]))"
    )
    spent_s, early, late = json.loads(run(code))
    assert spent_s < 1.0
    assert early == []
    assert late == []


def test_a_star_brings_every_name() -> None:
    code = "from testbed import *; print(sorted(name for name in dir() if name[0] != '_'))"
    assert set(ast.literal_eval(run(code))) == EXPORTED


def test_there_is_no_logic_in_the_package() -> None:
    """Beside the imports only the look-up of names, the check of the path and the command."""
    defined = {
        (path.name, node.name)
        for path in (ROOT / "testbed").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assert defined == {
        ("__init__.py", "__dir__"),
        ("__init__.py", "__getattr__"),
        ("__main__.py", "main"),
        ("shadowing.py", "_found"),
        ("shadowing.py", "refuse_shadowed_packages"),
    }
