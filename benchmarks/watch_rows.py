"""The rows of the benchmark of the live page: what each id means."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["WHAT"]

WHAT: Mapping[str, tuple[str, str]] = {
    "W1": ("from a query's arrival at a node to the screen, 95th percentile, demo's load", "s"),
    "W1.p50": ("the same, median", "s"),
    "W2.growth": (
        "memory of server and page, an hour replayed at 10x: last sixth / second sixth - 1",
        "share",
    ),
    "W2.server": ("of the server alone", "share"),
    "W2.page": ("of the page alone", "share"),
    "W3.off": (
        "queries a second at a client's door, 64 callers: tracing off / without the extra",
        "ratio",
    ),
    "W3.sampled": ("the same: one query in a hundred traced / without the extra", "ratio"),
    "W4": ("queries a second at a client's door, 64 callers: with an open page / without", "ratio"),
    "W5": ("of 200 flips that explain predicts, those that a re-plan confirms", "share"),
}
