"""The colours of reports, of the live page and of its pictures: one meaning, one colour.

The tiers' are Okabe and Ito's, which readers with any common colour vision tell apart. A page has
them as CSS variables, lighter in dark; whoever draws writes `var(--edge)`.
"""

from __future__ import annotations

from collections.abc import Mapping

from serving.errors import RefusalReason

__all__ = ["COLOURS", "colour_css", "reason_colour", "task_colour"]

COLOURS: Mapping[str, tuple[str, str]] = {
    "client": ("#0072b2", "#56b4e9"),
    "edge": ("#d55e00", "#f08a3c"),
    "cloud": ("#009e73", "#2fc397"),
    "shed": ("#9aa3ab", "#7d8790"),
    "link": ("#56b4e9", "#8fd0f5"),
    "queue": ("#e69f00", "#e69f00"),
    "batch-wait": ("#f0d000", "#f0d000"),
    "compute": ("#4c6178", "#8fa6bd"),
    "rest": ("#aab2b9", "#6c757d"),
    "measured": ("#7d4698", "#cf9be6"),
    "warn": ("#a84400", "#f08a3c"),
    "good": ("#00734f", "#2fc397"),
    "fault": ("#b3003c", "#ff7a95"),
    "task-0": ("#0072b2", "#56b4e9"),
    "task-1": ("#d55e00", "#f08a3c"),
    "task-2": ("#009e73", "#2fc397"),
    "task-3": ("#cc79a7", "#e3a5c6"),
    "task-4": ("#e69f00", "#e69f00"),
    "task-5": ("#56b4e9", "#8fd0f5"),
    "task-6": ("#7d4698", "#cf9be6"),
    "task-7": ("#4c6178", "#8fa6bd"),
}
"""name -> colour in light, in dark"""
TASKS = 8
REASONS: Mapping[str, str] = {
    RefusalReason.SHED: "shed",
    RefusalReason.OVERLOADED: "edge",
    RefusalReason.QUEUE_FULL: "queue",
    RefusalReason.LINK_FULL: "link",
    RefusalReason.DOOR_FULL: "client",
    RefusalReason.DEADLINE: "measured",
    RefusalReason.NOT_SERVED: "compute",
    RefusalReason.NO_WAY: "cloud",
    RefusalReason.PEER_UNREACHABLE: "task-3",
    RefusalReason.PEER_SILENT: "batch-wait",
    RefusalReason.DEVICE_FAILED: "warn",
    RefusalReason.MODEL_NOT_LOADED: "rest",
}
"""what is missing here is another fault"""


def colour_css() -> str:
    """The variables as a style sheet, for light and dark."""
    light, dark = (
        " ".join(f"--{name}: {shades[which]};" for name, shades in COLOURS.items())
        for which in (0, 1)
    )
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def reason_colour(reason: str) -> str:
    """Of the queries that were refused for that reason."""
    return f"var(--{REASONS.get(reason, 'fault')})"


def task_colour(position: int) -> str:
    """Of the task at that place among all tasks; after eight they repeat."""
    return f"var(--task-{position % TASKS})"
