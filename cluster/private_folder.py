"""Folders that only their user may enter."""

from __future__ import annotations

import errno
from pathlib import Path

__all__ = ["make_private"]


def make_private(folder: Path) -> Path:
    """Make `folder`, and each folder above it that is missing, for this user alone (mode 0700).

    One that exists keeps its mode: it may be shared on purpose, such as /tmp. Raises `OSError`
    where it cannot be made.
    """
    if not folder.is_dir():
        if folder.parent != folder:
            make_private(folder.parent)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is no folder") from None
    return folder
