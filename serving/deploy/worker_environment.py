"""The environment of Ray's processes that run models."""

from __future__ import annotations

import sys

from cluster.providers.ray_private import WORKER_HOOK
from models.runtime import allocator

__all__ = ["ENVIRONMENT", "leave_out_tables"]

TABLES = ("pandas", "pyarrow")


def leave_out_tables() -> None:
    """Make this process one in which no package for tables is installed.

    Ray imports them wherever they can be found, to serialise tables that somebody may send. Nobody
    sends a node one, and they would take a tenth of its memory.
    """
    for name in TABLES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # "may not be imported"


ENVIRONMENT = {
    **allocator.ENVIRONMENT,
    WORKER_HOOK: f"{leave_out_tables.__module__}.{leave_out_tables.__name__}",
}
