"""Compile hot loops with numba. Tests hold them equal to the plain Python that they are written in.

numba keeps what it compiled on disk, and by itself it notices a change only in the file of the
function. A kernel also depends on other files of this folder: on positions, tuples and functions
that it imports. So the folder of the cache is named by a digest of them all, and a change in any
of them compiles anew.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

__all__ = ["compiled", "digest_of_sources"]

F = TypeVar("F", bound=Callable[..., Any])
numba: Any = import_module("numba")
"""Its types know neither its settings nor a dispatcher as a function."""


def compiled(function: F) -> F:
    """`function`, compiled at its first call and cached on disk."""
    folder = _cache_folder(numba.config.CACHE_DIR)
    # numba chooses the cache's folder when it wraps the function, from this setting alone.
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder or "")
    try:
        # No kernel is passed as a value, so none needs the entry for that, which takes seconds.
        options = {"cache": folder is not None, "nogil": True, "no_cfunc_wrapper": True}
        faster = numba.njit(**options)(function)
    finally:
        numba.config.CACHE_DIR = before
    return cast(F, faster)


def digest_of_sources(folder: Path) -> str:
    """16 hex digits that change when a Python file of `folder` is changed, added or renamed."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _cache_folder(chosen_by_user: str) -> Path | None:
    """Under NUMBA_CACHE_DIR if that is set, else beside the modules, else in the user's cache; None
    where none of them can be written, since a cache may stop nobody."""
    here = Path(__file__).parent
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "j3o-testbed"
    bases = [Path(chosen_by_user)] if chosen_by_user else [here / "__pycache__", users]
    for base in bases:
        folder = base / f"kernels-{digest_of_sources(here)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None
