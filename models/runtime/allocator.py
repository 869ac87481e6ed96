"""The C library's allocator, told to keep what a batch frees for the next one.

glibc gives large blocks back to the system as soon as they are freed, and every batch then pays
for mapping and clearing its activations anew: an eighth to a fifth of a pass on a CPU. Kept, they
cost memory that the peak of a batch had taken anyway; it is given back when a model goes.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["ENVIRONMENT", "give_back_freed_memory", "keep_freed_memory"]

KEPT_BYTES = 1 << 30
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of malloc.h

ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}
"""for processes that run models on a thread of their own: only the first arena grows beyond
64 MiB without mapping anew, and in a process with threads already it is too late to ask for it"""


def keep_freed_memory() -> bool:
    """Have this process keep up to a GiB of freed memory; False where the C library is another."""
    library = _glibc()
    if library is None:
        return False
    library.mallopt(_ARENA_MAX, 1)
    kept = (library.mallopt(option, KEPT_BYTES) for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))
    return all(kept)


def give_back_freed_memory() -> None:
    """Return to the system what is free now."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
