"""Whether files can be written in a folder, tried before the work whose results go there."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

__all__ = ["nearest_there", "try_writing", "try_writing_below"]

PROBE_BYTES = 2**16
"""enough to see that there is room at all"""


def try_writing(folder: Path) -> None:
    """Write a little in `folder` and take it away again. Raises `OSError` where that fails."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(PROBE_BYTES))


def try_writing_below(folder: Path) -> None:
    """The same for a folder that may still have to be made. Raises `OSError` also where what is
    there is no folder."""
    place = nearest_there(folder)
    if not place.is_dir():
        raise OSError(errno.ENOTDIR, f"{place} is no folder")
    try_writing(place)


def nearest_there(folder: Path) -> Path:
    """`folder`, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.parents) if os.path.lexists(place))
