"""The rooms import one way: testbed -> serving -> planner -> profiling -> models, cluster.

A rule that several parts share stands in one place, which the last tests hold by a search.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

from serving.errors import RefusalReason
from serving.node.control import NodeControl, ServerControl
from support.paths import ROOT

ROOMS = ("cluster", "models", "profiling", "planner", "serving", "testbed")
ALLOWED = {
    "cluster": {"cluster"},
    "models": {"models", "cluster.code_digest", "cluster.document", "cluster.errors"},
    "profiling": {"profiling", "models", "cluster"},
    "planner": {"planner", "profiling", "models", "cluster"},
    "serving": set(ROOMS) - {"testbed"},
    "testbed": set(ROOMS),
}


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    return names


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(paths: Iterable[Path]) -> dict[Path, set[Path]]:
    """Which of the files each imports, lazily or for types only included."""
    by_name = {module_name(path): path for path in paths}
    found: dict[Path, set[Path]] = {}
    for path in paths:
        found[path] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [
                    full if (full := f"{node.module}.{alias.name}") in by_name else node.module
                    for alias in node.names
                ]
            else:
                continue
            found[path] |= {by_name[name] for name in names if name in by_name} - {path}
    return found


def circle(arrows: Mapping[Path, set[Path]]) -> list[Path]:
    """A circle of `arrows`, or nothing."""
    try:
        tuple(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_runs_back(room: str) -> None:
    backwards = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(room)
        for name in imported_names(path)
        if name.split(".")[0] in ROOMS
        and not any(name == ok or name.startswith(f"{ok}.") for ok in ALLOWED[room])
    ]
    assert not backwards


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_reaches_into_rays_private_modules(room: str) -> None:
    reaching = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(room)
        for name in imported_names(path)
        if name.startswith("ray.") and "_private" in name
    ]
    assert not reaching


def test_ray_is_imported_in_few_files() -> None:
    importing = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in files(room)
        if any(name.split(".")[0] == "ray" for name in imported_names(path))
    }
    assert all(name.startswith(("cluster/providers/", "serving/")) for name in importing)
    assert len(importing) <= 9, sorted(importing)


def test_planner_brings_neither_ray_nor_torch() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files("planner")
        if path.name != "__init__.py"
    ]
    code = f"import sys, importlib\nfor m in {modules!r}: importlib.import_module(m)\n" + (
        "print([m for m in ('ray', 'torch', 'timm') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_python_is_capped_below_the_standard_library_named_profiling() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.15"


def test_unit_tests_need_neither_ray_nor_torch() -> None:
    code = (
        "import sys, pytest\n"
        "sys.modules.update(ray=None, torch=None, torchvision=None, timm=None)\n"
        "sys.exit(pytest.main(['-q', '--collect-only', '-p', 'no:cacheprovider', 'tests/unit']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2_000:]


def test_the_installed_project_is_this_checkout_and_no_copy() -> None:
    code = "import serving, planner; print(serving.__file__); print(planner.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd="/", capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        assert Path(line).resolve().is_relative_to(ROOT), line


def all_files() -> list[Path]:
    return [path for room in ROOMS for path in files(room)]


def test_no_files_import_each_other_in_a_circle() -> None:
    assert not circle(imported_modules(all_files()))


def test_no_folders_import_each_other_in_a_circle() -> None:
    by_folder: defaultdict[Path, set[Path]] = defaultdict(set)
    for path, imported in imported_modules(all_files()).items():
        by_folder[path.parent] |= {other.parent for other in imported} - {path.parent}
    assert not circle(by_folder)


def test_a_circle_is_found() -> None:
    a, b, c = (Path(name) for name in "abc")
    assert set(circle({a: {b}, b: {c}, c: {a}})) == {a, b, c}
    assert circle({a: {b}, b: {c}, c: set()}) == []


def test_no_two_public_classes_of_serving_share_a_name() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in all_files():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module_name(path))
    assert not {name: found for name, found in places.items() if len(found) > 1}


@cache
def code_of(path: Path) -> str:
    """The file without comments and docstrings, which say rules in words."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    return ast.unparse(tree)


def files_with(pattern: str) -> set[str]:
    """Files of the rooms whose code matches `pattern`."""
    return {
        str(path.relative_to(ROOT)) for path in all_files() if re.search(pattern, code_of(path))
    }


def test_internals_of_torch_and_ray_are_used_in_one_module_each() -> None:
    """The two modules say which versions they were tried on, and have tests of their own."""
    assert files_with(r"\b(torch|nn|timm)(\.\w+)*\._[a-zA-Z]") == {
        "models/runtime/torch_private.py"
    }
    assert files_with(r"\b(ray|serve)(\.\w+)*\._[a-zA-Z]|\bray\.scripts\b") == {
        "cluster/providers/ray_private.py"
    }
    documented = "USAGE_STATS_ENABLED|AUTH_MODE|AUTH_TOKEN|AUTH_TOKEN_PATH|ADDRESS"
    documented += "|ENABLE_UV_RUN_RUNTIME_ENV"
    undocumented = rf"'RAY_(?!({documented})')\w+'"
    assert files_with(undocumented) == {"cluster/providers/ray_private.py"}


def test_two_windows_are_promised_in_one_place() -> None:
    twice = r"\b(2|2\.0|WINDOWS) \* [\w.\[\]]*window|window\w*(\[\w+\])? \* (2|2\.0|WINDOWS)\b"
    assert files_with(twice) == {"planner/latency_bound.py"}


def test_functions_wait_for_coroutines_in_one_way() -> None:
    """`asyncio.run` fails in a notebook. Commands, which run in none, may call it."""
    callers = files_with(r"\basyncio\.(run|Runner)\(")
    assert {path for path in callers if not path.startswith("serving/cli/")} == {
        "serving/blocking.py"
    }


def test_reasons_of_refusals_are_words_of_one_enum() -> None:
    assert files_with(r"RefusedError\(\s*f?['\"]") == set()
    own = {"serving/errors.py"}
    for reason in RefusalReason:
        if reason.value in ("shed", "deadline"):  # an outcome and a batch's release, too
            continue
        assert files_with(rf"'{reason.value}'") <= own, reason


def test_every_error_of_serving_is_in_one_tree() -> None:
    """`ServingError` is the server's side, `ClientError` the caller's."""
    errors = {
        node.name: [ast.unparse(base) for base in node.bases]
        for path in files("serving")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    }
    roots = {name for name, bases in errors.items() if not set(bases) & errors.keys()}
    assert roots == {"ServingError", "ClientError"}


def test_what_a_fleet_calls_on_nodes_is_typed() -> None:
    """No method of a node is called by a string."""
    assert files_with(r"getattr\(self\._handles?") == set()
    calls = {name for name in vars(NodeControl) if not name.startswith("_")}
    assert calls <= vars(ServerControl).keys()
    remote = ast.parse((ROOT / "serving/deploy/remote_node.py").read_text())
    offered = {node.name for node in ast.walk(remote) if isinstance(node, ast.AsyncFunctionDef)}
    assert calls <= offered


def test_no_file_has_more_lines_than_one_idea_takes() -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for room in ROOMS
        for path in files(room)
    }
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_no_public_name_is_there_for_tests_alone() -> None:
    """What a module offers is used by the product, its benchmarks or its entry points, be it by a
    word of a table; a protocol may stand for what the contract tests ask of every system."""
    offered: dict[str, str] = {}
    used: set[str] = set(re.findall(r"\w+", (ROOT / "pyproject.toml").read_text()))
    for path in (path for room in (*ROOMS, "benchmarks") for path in files(room)):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Assign(targets=[ast.Name("__all__")], value=ast.List(elts=names)):
                    offered |= {ast.literal_eval(name): str(path) for name in names}
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                    used.add(name)
                case ast.Call(args=words) | ast.Dict(values=words):  # imported when asked for
                    texts = [text for word in words for text in ast.walk(word)]
                    constants = [text.value for text in texts if isinstance(text, ast.Constant)]
                    used |= {word for text in constants for word in re.findall(r"\w+", str(text))}
                case ast.ClassDef(name=name, bases=[*_, ast.Name("Protocol")]):
                    used.add(name)
    assert {name: path for name, path in offered.items() if name not in used} == {}


def test_pytest_takes_all_folders_of_tests_at_once() -> None:
    """It imports each file by its name alone, and refuses a second one of a name."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, files in names.items() if files > 1] == []


def test_what_slow_tests_replace_is_there() -> None:
    """They run seldom, and a name that has moved is seen by no type checker."""
    missing = []
    for path in (
        path for room in ("drills", "e2e", "soak") for path in (ROOT / "tests" / room).glob("*.py")
    ):
        imported: dict[str, str] = {}
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.ImportFrom(module=str(module), names=names):
                    imported |= {
                        name.asname or name.name: f"{module}.{name.name}" for name in names
                    }
                case ast.Call(
                    func=ast.Attribute(attr="setattr"),
                    args=[ast.Name(id=module), ast.Constant(value=str(name)), *_],
                ) if module in imported and imported[module].split(".")[0] in ROOMS:
                    if not hasattr(import_module(imported[module]), name):
                        missing.append(f"{path.name}: {imported[module]}.{name}")
    assert missing == []
