"""A script beside a folder or file with a name of the testbed's packages works or is told why not.

Every case is a real process: what comes first on Python's path differs between them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from support.paths import ROOT
from testbed import shadowing

SCRIPT = "from testbed import Phase, list_policies\nprint(len(list_policies()))\n"
COMMAND = ["-c", "from testbed.__main__ import main; main()", "plan", "--list"]


def python(
    folder: Path, *arguments: str, path: tuple[Path, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Python in `folder`; `path` comes before the testbed on its path."""
    named = os.pathsep.join(map(str, (*path, ROOT)))
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": named},
    )  # fmt: skip


def told(found: Path) -> str:
    return (
        f"testbed: {found} shadows the testbed's own package {found.stem!r}; "
        "rename it or run from another folder"
    )


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.resolve()


def test_a_script_beside_nothing_of_that_name_works(folder) -> None:
    put(folder / "experiment.py", SCRIPT)
    put(folder / "model" / "__init__.py")
    put(folder / "planners.py")
    done = python(folder, "experiment.py")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 13


@pytest.mark.parametrize("name", ["models", "cluster", "serving"])
def test_a_package_beside_the_script_is_named(folder, name: str) -> None:
    put(folder / name / "__init__.py")
    put(folder / "experiment.py", SCRIPT)
    done = python(folder, "experiment.py")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ImportError: {told(folder / name)}"


@pytest.mark.parametrize("name", ["planner", "profiling"])
def test_a_file_beside_the_script_is_named(folder, name: str) -> None:
    put(folder / f"{name}.py")
    put(folder / "experiment.py", SCRIPT)
    done = python(folder, "experiment.py")
    assert done.stderr.splitlines()[-1] == f"ImportError: {told(folder / f'{name}.py')}"


def test_the_users_own_module_is_named_also_after_it_was_imported(folder) -> None:
    put(folder / "models.py")
    put(folder / "experiment.py", "import models, testbed\nprint(testbed.Plan)\n")
    done = python(folder, "experiment.py")
    assert done.stderr.splitlines()[-1] == f"ImportError: {told(folder / 'models.py')}"


def test_a_folder_of_data_beside_the_script_does_no_harm(folder) -> None:
    put(folder / "models" / "weights.bin")
    put(folder / "experiment.py", SCRIPT)
    done = python(folder, "experiment.py")
    assert done.returncode == 0, done.stderr


def test_a_folder_of_data_that_comes_before_an_editable_install_is_named(
    folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an install is found last, so that even a folder without `__init__.py` hides it."""
    spec = ModuleSpec("models", None, is_package=True)
    spec.submodule_search_locations = [str(folder / "models")]
    real = shadowing.find_spec
    monkeypatch.setattr(
        shadowing, "find_spec", lambda name: spec if name == "models" else real(name)
    )
    with pytest.raises(ImportError) as refused:
        shadowing.refuse_shadowed_packages()
    assert str(refused.value) == told(folder / "models")


def test_the_command_says_it_in_one_line(folder) -> None:
    put(folder / "cluster.py")
    done = python(folder, "-m", "testbed", "plan", "--list")  # which puts the folder on the path
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == told(folder / "cluster.py") + "\n"


def test_the_command_looks_at_pythonpath_and_not_at_the_folder_it_runs_in(folder) -> None:
    put(folder / "library" / "models" / "__init__.py")
    put(folder / "work" / "models" / "__init__.py")
    done = python(folder / "work", "-P", *COMMAND)
    assert done.returncode == 0, done.stderr
    done = python(folder / "work", "-P", *COMMAND, path=(folder / "library",))
    assert done.returncode == 2
    assert done.stderr == told(folder / "library" / "models") + "\n"


def test_the_console_script_is_that_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["testbed"].partition(":")
    assert (module, function) == ("testbed.__main__", "main")
    assert callable(getattr(import_module(module), function))


def test_every_top_level_package_is_looked_at() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packaged = {name.rstrip("*") for name in tools["setuptools"]["packages"]["find"]["include"]}
    assert packaged == {"testbed", *shadowing.PACKAGES}
    assert packaged <= set(tools["mypy"]["files"])
