"""Whether files can be written in a folder, tried before the work whose results go there."""

from __future__ import annotations

import tempfile
from pathlib import Path

__all__ = ["try_writing"]

PROBE_BYTES = 2**16
"""enough to see that there is room at all"""


def try_writing(folder: Path) -> None:
    """Write a little in `folder` and take it away again. Raises `OSError` where that fails."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(PROBE_BYTES))
