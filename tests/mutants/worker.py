"""A process that tries mutants in a copy of the tree, one after another.

Usage, in the copy: python -m mutants.worker. Each line of its input is a trial as JSON, each of its
output a result. Packages, and what of the product imports no file that is mutated, are imported
once; every trial is a fork, which imports the rest and its tests. So a trial takes a second or two
beside what its tests take.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest

from mutants.files import FILES

__all__ = ["CAUGHT", "SURVIVED", "TIMEOUT", "attempt"]

CAUGHT, SURVIVED, TIMEOUT = "caught", "survived", "timeout"
PRELOADED = (
    "google.protobuf", "h11", "highspy", "httptools", "httpx", "msgpack", "numpy", "orjson",
    "PIL.Image", "prometheus_client", "pyarrow.parquet", "pydantic", "rich.table", "scipy.optimize",
    "scipy.sparse", "typer", "uvloop", "yaml",
)  # fmt: skip
ROOMS = ("cluster", "models", "planner", "profiling", "serving")
PASSED = 0
"""exit code of pytest; anything else, such as a module that can't be imported, is a test that
noticed"""


def attempt(path: Path, source: bytes, tests: list[str], limit_s: float, log: Path) -> str:
    """`CAUGHT`, `SURVIVED` or `TIMEOUT` of `tests` with `source` in the file `path`."""
    whole = path.read_bytes()
    path.write_bytes(source)
    try:
        child = os.fork()
        if child == 0:
            _run(tests, log)
        return _await(child, limit_s)
    finally:
        path.write_bytes(whole)


def _run(tests: list[str], log: Path) -> None:
    """In the child: run the tests until one fails, and end."""
    os.setsid()  # so that what tests start ends with them
    sys.dont_write_bytecode = True  # what is mutated now is another file in the next trial
    with log.open("w") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    # The same examples each time: who is caught today is caught tomorrow.
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("mutants")
    status = 99
    try:
        status = int(pytest.main([*tests, "-x", "-q", "-p", "no:cacheprovider", "--no-header"]))
    finally:
        sys.stdout.flush()
        os._exit(status)


def _await(child: int, limit_s: float) -> str:
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            _end_group(child)
            return SURVIVED if os.waitstatus_to_exitcode(status) == PASSED else CAUGHT
        time.sleep(0.01)
    _end_group(child)
    with suppress(ChildProcessError):
        os.waitpid(child, 0)
    return TIMEOUT


def _end_group(child: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def independent_modules() -> list[str]:
    """The product's modules that import none of `FILES`, not even by way of others, nor Ray or
    torch; found in the current folder."""
    paths = {_module(path): path for room in ROOMS for path in Path(room).rglob("*.py")}
    imports = {name: _imported(path) | set(_parents(name)) for name, path in paths.items()}
    left_out = {_module(Path(path)) for path in FILES}
    left_out |= {"ray", "torch", "torchvision", "timm"}
    found = len(left_out) - 1
    while found != len(left_out):
        found = len(left_out)
        left_out |= {name for name, needs in imports.items() if needs & left_out}
    return sorted(imports.keys() - left_out)


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _parents(name: str) -> list[str]:
    """The packages that importing `name` imports first."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {each for name in names for each in (name, *_parents(name))}
    return found


def main() -> None:
    """Take trials until the input ends."""
    for name in (*PRELOADED, *independent_modules()):
        with suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        trial = json.loads(line)
        begun_s = time.monotonic()
        outcome = attempt(
            Path(trial["path"]), trial["source"].encode(), trial["tests"], trial["limit_s"],
            Path(trial["log"]),
        )  # fmt: skip
        answer = {"outcome": outcome, "seconds": time.monotonic() - begun_s}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
