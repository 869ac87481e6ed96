"""Packages of which only some commands need one: imported by those commands, as extras."""

from __future__ import annotations

import importlib
from typing import Any

from cluster.errors import InputError

__all__ = ["MissingExtraError", "import_extra", "install_command"]


class MissingExtraError(InputError, ImportError):
    """A package of an extra is not installed; the message says how to install it."""


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """The module `module`, which the extra of that name installs.

    Raises `MissingExtraError` in one line, for example "a figure of an experiment needs
    matplotlib; pip install 'j3o-testbed[experiments]'".
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # it is installed, and lacks something itself
        raise MissingExtraError(f"{purpose} needs {package}; {install_command(extra)}") from None


def install_command(extra: str) -> str:
    """What installs an extra of this project."""
    return f"pip install 'j3o-testbed[{extra}]'"
