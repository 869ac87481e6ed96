"""Where results go: looked at before the work begins, and not lost when they cannot be written.

check_output(output)                     # at the top of a verb
...
save_result(measurements.save, output)   # at its end
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cluster.errors import InputError
from cluster.writable import try_writing_below
from serving.errors import OutputError

__all__ = ["LooseOutput", "check_folder", "check_output", "save_result"]

LooseOutput = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="a file of your own instead of one in the run"),
]


def check_output(path: Path, option: str = "--output") -> None:
    """Raise `InputError` unless a file can be written at `path`, which `option` names.

    Nothing is left behind: folders that are missing are made when there is something to write.
    """
    try:
        if path.is_dir():
            raise OSError(errno.EISDIR, "it is a folder; name a file in it")
        if path.exists():
            if not path.is_file():
                raise OSError(errno.EINVAL, "it is no regular file")
            if not os.access(path, os.W_OK):
                raise OSError(errno.EACCES, "the file is there and is read-only")
        try_writing_below(path.parent)
    except OSError as error:
        raise _refusal(path, option, error) from None


def check_folder(path: Path, option: str = "--output") -> None:
    """Raise `InputError` unless files can be written in the folder `path`, made if need be."""
    try:
        try_writing_below(path)
    except OSError as error:
        raise _refusal(path, option, error) from None


def save_result(save: Callable[[Path], object], path: Path) -> None:
    """Call `save(path)`; where that fails, save in a new folder for temporary files instead.

    Raises `OutputError`, which names that folder, so that what took minutes to find is not lost
    to a disk that has filled up.
    """
    try:
        save(path)
        return
    except OSError as error:
        words = f"{path} cannot be written: {error.strerror or error}"
    try:
        kept = Path(tempfile.mkdtemp(prefix="testbed-result-")) / path.name
        save(kept)
    except OSError as error:
        raise OutputError(
            f"{words}; nor can {tempfile.gettempdir()} ({error.strerror or error}): make room, and "
            "run the command again"
        ) from None
    raise OutputError(f"{words}; the result is in {kept}: make room, and move it there")


def _refusal(path: Path, option: str, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    then = "name another place" if option.startswith("--") else "run this in another folder"
    return InputError(f"{option}: {path} cannot be written: {reason}; {then}")
