"""Tables as a terminal of 80 columns shows them."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.table import Table

__all__ = ["broken_words"]

WIDTH = 80
LONGEST = 24
"""letters of a word that must stand in one piece; a path or a digest may go on in the next line"""


def broken_words(table: Table) -> list[str]:
    """Words of headings and cells that are cut or go on in the next line at 80 columns."""
    wide, narrow = (_shown(table, width) for width in (1000, WIDTH))
    words = {word for word in wide.split() if len(word) <= LONGEST and word.isprintable()}
    shown = set(narrow.split())
    return sorted(word for word in words if word not in shown and not _drawn(word))


def _shown(table: Table, width: int) -> str:
    """The table without the lines around its cells, since a cell is no part of its neighbour."""
    stream = StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    return "".join(" " if _drawn(sign) else sign for sign in stream.getvalue())


def _drawn(text: str) -> bool:
    """Whether all of it is made of the signs that boxes are drawn with."""
    return all("\u2500" <= sign <= "\u257f" for sign in text)
