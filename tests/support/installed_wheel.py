"""The wheel as it is built of the checkout, in an environment that has nothing else of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.paths import ROOT

__all__ = ["InstalledWheel", "build_wheel", "install_wheel", "names_in"]

BUILT_OF = (
    "cluster", "models", "planner", "profiling", "serving", "testbed",
    "pyproject.toml", "setup.py", "README.md", "LICENSE",
)  # fmt: skip


def build_wheel(folder: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Build it in `folder`, of a copy: building leaves files beside the sources."""
    source = folder / "source"
    for name in BUILT_OF:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    _call(
        [sys.executable, "-I", "-m", "pip", "wheel", "--no-deps", "--no-build-isolation",
         "--no-index", "--wheel-dir", str(folder), str(source)],
        folder, {**_plain(), **(environment or {})},
    )  # fmt: skip
    shutil.rmtree(source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install_wheel(wheel: Path, folder: Path) -> InstalledWheel:
    """Install it into an environment of its own, whose other packages are this one's."""
    environment = folder / "environment"
    _call([sys.executable, "-I", "-m", "venv", "--without-pip", str(environment)], folder, _plain())
    found = InstalledWheel(environment, folder)
    # A file that names a folder makes that folder one to import from; what is installed there in
    # development mode is not, since its own such files are not read.
    others = sysconfig.get_path("purelib")
    (found.packages / "others.pth").write_text(others + "\n")
    _call(
        [sys.executable, "-I", "-m", "pip", "--python", str(found.python), "install", "--no-deps",
         "--no-index", str(wheel)],
        folder, _plain(),
    )  # fmt: skip
    return found


def names_in(wheel: Path) -> set[str]:
    """The files in it."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@dataclass(frozen=True)
class InstalledWheel:
    """An environment with the wheel in it, and a folder outside of any checkout to work in."""

    environment: Path
    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.environment / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Where the wheel's packages are."""
        (found,) = (self.environment / "lib").glob("python*/site-packages")
        return found

    def run(
        self, *arguments: str, timeout_s: float = 120.0, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `testbed` of the environment, with more `variables`."""
        return self.call("testbed", *arguments, timeout_s=timeout_s, variables=variables)

    def call(
        self,
        program: str,
        *arguments: str,
        timeout_s: float = 120.0,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """The same with any of its programs."""
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        return subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=work, capture_output=True, text=True, check=False, timeout=timeout_s,
            env={
                **_plain(), "TESTBED_STATE_DIR": str(self.folder / "state"), **(variables or {}),
            },
        )  # fmt: skip


def _plain() -> dict[str, str]:
    """This process's environment without what leads to the checkout."""
    return {
        name: value for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith(("J3O_", "TESTBED_ZOO", "COVERAGE_"))
    }  # fmt: skip


def _call(command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
