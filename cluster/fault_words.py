"""What pydantic finds wrong with a value, in words that speak of the file and not of Python."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["fault_words", "first_fault", "kind_of"]

WORDS: Mapping[str, str] = {
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "set_type": "expected a list",
    "frozen_set_type": "expected a list",
    "dict_type": "expected a mapping of keys",
    "model_type": "expected a mapping of keys",
    "string_type": "expected a text",
    "missing": "missing",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "finite_number": "expected a finite number",
    "byte_size": "expected a number of bytes with its unit, such as 64MiB",
    "byte_size_unit": "expected a number of bytes with its unit, such as 64MiB",
}
"""by pydantic's type of the fault"""
MEASURED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda ctx: f"expected a number over {ctx['gt']:g}",
    "greater_than_equal": lambda ctx: f"expected a number of at least {ctx['ge']:g}",
    "less_than": lambda ctx: f"expected a number under {ctx['lt']:g}",
    "less_than_equal": lambda ctx: f"expected a number of at most {ctx['le']:g}",
    "too_short": lambda ctx: f"expected at least {_entries(ctx['min_length'])}",
    "too_long": lambda ctx: f"expected at most {_entries(ctx['max_length'])}",
    "string_too_short": lambda ctx: f"expected at least {_signs(ctx['min_length'])}",
    "string_too_long": lambda ctx: f"expected at most {_signs(ctx['max_length'])}",
    "enum": lambda ctx: f"expected {ctx['expected']}",
    "literal_error": lambda ctx: f"expected {ctx['expected']}",
}
"""by type, from what was allowed"""


def fault_words(fault: ErrorDetails) -> str:
    """What was expected, and what stands there: `expected a number over 0 (got -36)`."""
    kind = fault["type"]
    if kind == "missing" and isinstance(fault["loc"][-1], int):
        return "missing; expected a longer list"
    measured = MEASURED.get(kind)
    if measured is not None:
        words = measured(fault["ctx"])
    else:
        words = WORDS.get(kind, fault["msg"].removeprefix("Value error, "))
    given = fault["input"]
    if kind == "missing" or isinstance(given, dict | list):
        return words
    return f"{words} (got {reprlib.repr(given)}{_near(fault)})"


def first_fault(error: ValidationError) -> str:
    """The first fault of a value, with the keys that lead to it: `digest: missing`."""
    fault = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault_words(fault)}"


def kind_of(data: Any) -> str:
    """What plain data is: `a list`, `nothing`."""
    names = {type(None): "nothing", list: "a list", dict: "a mapping", str: "a text"}
    return names.get(type(data), repr(data))


def _near(fault: ErrorDetails) -> str:
    """`; did you mean 'edge'?` for a text that is nearly one of those allowed."""
    expected = fault.get("ctx", {}).get("expected")
    if not isinstance(expected, str) or not isinstance(fault["input"], str):
        return ""
    allowed = expected.split("'")[1::2]
    near = difflib.get_close_matches(fault["input"], allowed, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _entries(count: int) -> str:
    return f"{count} entr{'y' if count == 1 else 'ies'}"


def _signs(count: int) -> str:
    return f"{count} sign{'' if count == 1 else 's'}"
