"""The numbers that options take: each with its range, which the help shows and the parser holds.

A new option takes one of the ranges below, or one of its own:

    period: Annotated[float, number(PERIOD_S, help="seconds between looks at the load")] = 5.0

`testbed live --period nan` then ends in one line and exit code 2:

    testbed: --period: expected seconds from 0.05 to 3600, got 'nan'; see `testbed live --help`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import typer

__all__ = [
    "ALL", "AUDITED", "CHANGES", "CLIENTS", "DURATION_S", "EDGES", "GAP", "IMAGES", "JOULE_PRICE",
    "LINE", "LINES", "MEASURE_S", "MEBIBYTES", "NETWORKS",
    "NULL_NODES",
    "OVERRUN", "PERIODS", "PERIOD_S", "PHASE", "PHASE_OR_ALL", "PORT", "PROFILE_S", "REACH",
    "REPETITIONS", "RTT_S",
    "SEASON_S", "SEED", "SHARE", "SHARE_OR_NONE", "STEPS", "THREADS", "TIME_LIMIT_S", "WATTS",
    "NumberRange", "number",
]  # fmt: skip

DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d{1,30}", re.ASCII)


@dataclass(frozen=True)
class NumberRange:
    """From `low` to `high`, both allowed unless `above_low` or `below_high` says otherwise.

    `what` names the number in messages ("seconds"). With `whole` it has no fraction. With `or_all`
    the word `all` is taken as well, for `ALL`.
    """

    what: str
    low: float
    high: float
    whole: bool = False
    above_low: bool = False
    below_high: bool = False
    or_all: bool = False

    @property
    def words(self) -> str:
        """The range as people read it: `seconds over 0 to 3600`."""
        begin = "over" if self.above_low else "from"
        end = "to under" if self.below_high else "to"
        low, high = (f"{int(n)}" if n == int(n) else f"{n:g}" for n in (self.low, self.high))
        return f"{self.what} {begin} {low} {end} {high}" + (", or all" if self.or_all else "")

    def parse(self, given: str | float) -> float:
        """The number that was given. Raises `typer.BadParameter` unless it lies in the range.

        Not-a-number, infinity, `1:30` and an empty text are none.
        """
        text = str(given)
        if self.or_all and text == "all":
            return ALL
        if not (WHOLE if self.whole else DECIMAL).fullmatch(text):
            raise self._refusal(text)
        value = int(text) if self.whole else float(text)
        too_low = value <= self.low if self.above_low else value < self.low
        too_high = value >= self.high if self.below_high else value > self.high
        if too_low or too_high:
            raise self._refusal(text)
        return value

    def _refusal(self, text: str) -> typer.BadParameter:
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        return typer.BadParameter(f"expected {self.words}, got {shown!r}")


def number(allowed: NumberRange, *names: str, help: str, **more: Any) -> Any:
    """An option that takes a number of `allowed`; `names` and `more` as of `typer.Option`."""
    return typer.Option(
        *names, parser=allowed.parse, metavar=f"<{allowed.words}>", help=help, **more
    )


WEEK_S = 7 * 24 * 3600

DURATION_S = NumberRange("seconds", 0, WEEK_S, above_low=True)
PERIOD_S = NumberRange("seconds", 0.05, 3600)
PROFILE_S = NumberRange("seconds", 0, 600, above_low=True)
TIME_LIMIT_S = NumberRange("seconds", 0, WEEK_S, above_low=True)

MEASURE_S = NumberRange("seconds", 0.1, 60)
RTT_S = NumberRange("seconds", 0, 60)
MEBIBYTES = NumberRange("MiB", 0, 1024, above_low=True)

SHARE = NumberRange("a share", 0, 1, above_low=True)
SHARE_OR_NONE = NumberRange("a share", 0, 1)
GAP = NumberRange("a relative gap", 0, 1, below_high=True)
OVERRUN = NumberRange("a share", 0, 0.5)
WATTS = NumberRange("watts", 0, 1e9)
JOULE_PRICE = NumberRange("right answers a joule", 0, 1e9)

SEED = NumberRange("a whole number", 0, 2**31 - 1, whole=True)  # what HiGHS and numpy both take
PORT = NumberRange("a port", 1, 65535, whole=True)
ALL = -1
"""what `all` means where a number may be given"""
PHASE_OR_ALL = NumberRange("a whole number", 0, 9999, whole=True, or_all=True)
PHASE = NumberRange("a whole number", 0, 9999, whole=True)
THREADS = NumberRange("a whole number", 1, 1024, whole=True)
IMAGES = NumberRange("a whole number", 1, 1_000_000, whole=True)
SEASON_S = NumberRange("seconds", 1, 53 * WEEK_S)
PERIODS = NumberRange("a whole number", 2, 168, whole=True)
LINE = NumberRange("a whole number", 1, 10_000_000, whole=True)
LINES = NumberRange("a whole number", 0, 10_000_000, whole=True)
STEPS = NumberRange("a whole number", 1, 10_000_000, whole=True)
NETWORKS = NumberRange("a whole number", 1, 100, whole=True)
AUDITED = NumberRange("a whole number", 0, 100_000, whole=True)
REPETITIONS = NumberRange("a whole number", 1, 10_000, whole=True)
EDGES = NumberRange("a whole number", 1, 10_000, whole=True)
CLIENTS = NumberRange("a whole number", 1, 10_000, whole=True)
REACH = NumberRange("a whole number", 1, 1000, whole=True)
NULL_NODES = NumberRange("whole numbers", 3, 1000, whole=True)
CHANGES = NumberRange("a whole number", 1, 1000, whole=True)
