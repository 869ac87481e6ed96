"""The rooms import one way: serving -> planner -> profiling -> models, cluster."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("cluster", "models", "profiling", "planner", "serving")
ALLOWED = {
    "cluster": {"cluster"},
    "models": {"models", "cluster.document"},
    "profiling": {"profiling", "models", "cluster"},
    "planner": {"planner", "profiling", "models", "cluster"},
    "serving": set(ROOMS),
}


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    return names


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
    assert len(importing) <= 8, sorted(importing)


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
