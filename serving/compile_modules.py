"""Compile the modules that every simulated query passes (`compiled_modules`), with mypyc.

python -m serving.compile_modules
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from serving.compiled_modules import MODULES, ROOT, compiled_folder, source_of

__all__ = ["compile_modules"]

FLAGS = "-fno-plt -fno-semantic-interposition"
"""Python's functions are called straight, and not by way of a table: a query calls hundreds."""
PACKAGES = ("cluster", "models", "planner", "profiling", "serving")


def compile_modules() -> Path:
    """The folder with what was compiled, which is done only once for the same sources.

    A copy of the packages is compiled, so that nothing lies beside the sources. Raises `SystemExit`
    with the compiler's words.
    """
    folder = compiled_folder()
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for package in PACKAGES:
            for source in (ROOT / package).rglob("*.py"):
                target = copy / source.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        shutil.copy(ROOT / "pyproject.toml", copy)
        files = [str(source_of(module).relative_to(ROOT)) for module in MODULES]
        command = [sys.executable, "-m", "mypyc", *files]
        flags = " ".join((os.environ.get("CFLAGS", ""), FLAGS if sys.platform == "linux" else ""))
        done = subprocess.run(
            command, cwd=copy, env={**os.environ, "CFLAGS": flags}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"mypyc could not compile the modules:\n{done.stdout}{done.stderr}")
        built = Path(tempfile.mkdtemp(dir=_made(folder.parent)))
        for library in copy.rglob(f"*{EXTENSION_SUFFIXES[0]}"):
            shutil.copy(library, _made((built / library.relative_to(copy)).parent))
        try:
            built.rename(folder)
        except OSError:
            shutil.rmtree(built)
            if not folder.is_dir():  # else another one has compiled the same meanwhile
                raise
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.stdout.write(f"compiled: {compile_modules()}\n")
