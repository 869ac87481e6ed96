"""Writing SVG as text: elements, scales, and the frame of a chart.

Colours are CSS variables of the page, so that one drawing serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = [
    "Frame",
    "Scale",
    "element",
    "label",
    "legend",
    "line",
    "picture",
    "swatch",
    "tier_colour",
]


def element(name: str, *children: str, **attributes: object) -> str:
    """One element. `class_` becomes `class`, underscores become hyphens; values are escaped."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{''.join(children)}</{name}>"


def label(x: float, y: float, words: str, **attributes: object) -> str:
    """Text at (x, y), escaped."""
    return element("text", escape(words), x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def picture(width: float, height: float, title: str, *children: str, class_: str = "chart") -> str:
    """A whole drawing that scales with its column; `title` is read by screen readers."""
    return element(
        "svg",
        element("title", escape(title)),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        role="img",
        class_=class_,
    )


def tier_colour(tier: str) -> str:
    """The page's colour of `client`, `edge`, `cloud` or `shed`."""
    return f"var(--{tier})"


@dataclass(frozen=True, slots=True)
class Scale:
    """From data [low, high] to pixels [start, end], linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Pixels of `value`, kept inside the frame."""
        low, high = self.low, self.high
        value = min(max(value, low), high)
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / ((high - low) or 1.0) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the scale."""
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            marks = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
            return [mark for mark in marks if self.low <= mark <= self.high]
        raw = (self.high - self.low) / about
        if raw <= 0:
            return [self.low]
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = min((m for m in (1, 2, 5, 10) if m * magnitude >= raw), default=10) * magnitude
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Frame:
    """The plotting area of a chart with its two scales."""

    width: float
    height: float
    x: Scale
    y: Scale

    def x_axis(
        self, title: str, write: Callable[[float], str] = "{:g}".format, about: int = 5
    ) -> str:
        """Grid, tick labels and title below the area."""
        bottom, top = self.y.start, self.y.end
        marks = [
            line(self.x(v), bottom, self.x(v), top, class_="grid")
            + label(self.x(v), bottom + 15, write(v), class_="tick", text_anchor="middle")
            for v in self.x.ticks(about)
        ]
        middle = (self.x.start + self.x.end) / 2
        title_text = label(middle, bottom + 33, title, class_="axis", text_anchor="middle")
        return "".join(marks) + title_text

    def y_axis(
        self, title: str, write: Callable[[float], str] = "{:g}".format, about: int = 5
    ) -> str:
        """Grid, tick labels and title left of the area."""
        left, right = self.x.start, self.x.end
        marks = [
            line(left, self.y(v), right, self.y(v), class_="grid")
            + label(left - 6, self.y(v) + 4, write(v), class_="tick", text_anchor="end")
            for v in self.y.ticks(about)
        ]
        return "".join(marks) + label(2, self.y.end - 10, title, class_="axis")


def legend(x: float, y: float, entries: Sequence[tuple[str, str]], gap: float = 16) -> str:
    """A row of (mark, words); each mark is drawn around (0, 0)."""
    parts = []
    for mark, words in entries:
        parts.append(element("g", mark, transform=f"translate({_value(x + 6)} {_value(y - 4)})"))
        parts.append(label(x + 16, y, words, class_="tick"))
        x += 16 + 6.3 * len(words) + gap
    return "".join(parts)


def swatch(colour: str) -> str:
    """The mark of a legend's entry for an area of that colour."""
    return element("rect", x=-5, y=-5, width=10, height=10, rx=2, fill=colour)


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
