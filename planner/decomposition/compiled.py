"""Compile hot loops with numba (extra `certified`); run them as plain Python without it.

The functions are the same either way, so both give the same numbers (a test holds them equal).

numba keeps what it compiled on disk, and by itself it notices a change only in the file of the
function. A kernel also depends on other files of this folder: on positions, tuples and functions
that it imports. So the folder of the cache is named by a digest of them all, and a change in any
of them compiles anew.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

__all__ = ["COMPILED", "compiled", "digest_of_sources"]

F = TypeVar("F", bound=Callable[..., Any])

try:
    numba: Any = importlib.import_module("numba")
    COMPILED = True
except ImportError:
    COMPILED = False


def compiled(function: F) -> F:
    """`function` compiled at its first call and cached on disk; itself when numba is missing."""
    if not COMPILED:
        return function
    # numba chooses the cache's folder when it wraps the function, from this setting alone.
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_cache_folder(before))
    try:
        # No kernel is passed as a value, so none needs the entry for that, which takes seconds.
        faster = numba.njit(cache=True, nogil=True, no_cfunc_wrapper=True)(function)
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
def _cache_folder(chosen_by_user: str) -> Path:
    """Under NUMBA_CACHE_DIR if that is set, else beside the modules, else in the user's cache."""
    here = Path(__file__).parent
    if chosen_by_user:
        base = Path(chosen_by_user)
    elif os.access(here, os.W_OK):
        base = here / "__pycache__"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "j3o-testbed"
    return base / f"kernels-{digest_of_sources(here)}"
