"""Compile hot loops with numba (extra `certified`); run them as plain Python without it.

The functions are the same either way, so both give the same numbers (a test holds them equal).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["COMPILED", "compiled"]

F = TypeVar("F", bound=Callable[..., Any])

try:
    from numba import njit

    COMPILED = True
except ImportError:
    COMPILED = False


def compiled(function: F) -> F:
    """`function` compiled, cached on disk beside the module; itself when numba is missing."""
    if not COMPILED:
        return function
    faster: Any = njit(cache=True, nogil=True)(function)
    return cast(F, faster)
