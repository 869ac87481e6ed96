"""Named tuples that are made for every query."""

from __future__ import annotations

from typing import Final

__all__ = ["made"]

made: Final = tuple.__new__
"""`made(Kind, (a, b))` is `Kind(a, b)` in less than half of its time: a call of a `NamedTuple` goes
through a function of Python. All fields have to be given, in their order, and nobody checks them;
so it is for what each query makes, and for nothing else."""
