"""What a user got wrong: the base of every error that `testbed` ends with exit code 2.

    InputError                a file, an option, a name or a setting is wrong
    |-- UnknownNameError      there is nothing of that name; the message lists near names
    |-- DocumentError         a file is not what it should be (`cluster.document`)
    `-- ...                   others stand beside what they are about

Its message says in one line what was wrong, where, and what to do. It is raised before anything
is changed. Both are `ValueError`s, and an `UnknownNameError` a `KeyError` too, so that code which
calls a function of the testbed may catch what it would expect of Python's own.
"""

from __future__ import annotations

__all__ = ["InputError", "UnknownNameError"]


class InputError(ValueError):
    """What was asked for cannot be done as it was asked; the message says why and what can."""


class UnknownNameError(InputError, KeyError):
    """There is nothing of that name."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows its message in quotes
