"""Tables and figures of a page as files that its reader can keep: the links hold them whole.

The page has neither a server nor a script, so each file is the address of its own link (`data:`).
"""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from pydantic import BaseModel

__all__ = ["as_csv", "as_svg", "data_uri", "flat_row"]

_DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{\s*:root \{.*?\}\s*\}", re.DOTALL)
_COLOURS = re.compile(r":root \{(.*?)\}", re.DOTALL)
_VARIABLE = re.compile(r"(--[\w-]+):\s*([^;]+);")
_USE = re.compile(r"var\((--[\w-]+)\)")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_VIEW_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def flat_row(row: Any, **first: Any) -> dict[str, Any]:
    """A dataclass or model as columns, `first` before them; what lies deeper is named `a.b`."""
    if isinstance(row, BaseModel):
        data = row.model_dump(mode="json")
    else:
        assert is_dataclass(row)
        assert not isinstance(row, type)
        data = asdict(row)
    return {**first, **_flat(data)}


def _flat(data: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{key}.")
        elif isinstance(value, (list, tuple)):
            found[before + key] = " ".join(map(str, value))
        else:
            found[before + key] = value
    return found


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """One line a row below a line of names; what a row lacks is empty."""
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_svg(drawing: str, css: str) -> str:
    """`drawing` as a file of its own: with what the page's `css` says of drawings, and its light
    colours written out, since not every program that reads SVG knows variables."""
    rules = [line for line in _COMMENT.sub("", css).splitlines() if line.startswith("svg")]
    light = _COLOURS.findall(_DARK.sub("", css))
    colours = {name: value for block in light for name, value in _VARIABLE.findall(block)}
    size = _VIEW_BOX.search(drawing)
    assert size is not None, "a drawing has no viewBox"
    style = "<style>svg{background:#fff;color:#000}" + "".join(rules) + "</style>"
    style = style.replace("font-family: inherit", "font-family: sans-serif")
    style = re.sub(r"width: 100%; height: auto;|min-width: \d+px;", "", style)
    head, rest = drawing.split(">", 1)
    whole = f'{head} width="{size[1]}" height="{size[2]}">{style}{rest}'
    return _USE.sub(lambda use: colours[use[1]].strip(), whole)


def data_uri(kind: str, text: str) -> str:
    """`text` as the address of a link, of the media type `kind`."""
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
