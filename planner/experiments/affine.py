"""Whether batches take nu + c b: the line, a curve (F15) and another board's times, held against
batch times that NVIDIA published (`profiling.published_batches`)."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from planner.experiments.study import Case, Progress, Row, Study, run_study
from profiling.fit import fit_affine
from profiling.published_batches import (
    SeriesName,
    left_out_by_neighbours,
    published_series,
    scaled,
)

__all__ = ["run"]

FEWEST_SIZES = 4
"""of a series: a line through fewer says little"""
REFERENCE, OTHERWISE = "V100-16GB", "T4"
"""board from whose times those of another are scaled; for the first one, the second"""
EXAMPLE = ("PyTorch", "resnext101-32x4d", "T4", "mixed/fp16")
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
JUDGES = {
    "line_error": "line ν + c b",
    "curve_error": "curve, size left out",
    "scaled_error": "scaled from another board",
}


def run(out_dir: str | Path, *, seeds: int = 1, on_progress: Progress | None = None) -> Path:
    """Writes affine.csv and affine.png: a row for each size of each series. Nothing is drawn at
    random, so `seeds` changes nothing."""
    del seeds
    cases = [
        name._asdict()
        for name, series in published_series().items()
        if len(series.size_b) >= FEWEST_SIZES
    ]
    title = "how far published batch times of GPUs lie from what is said of them"
    return run_study(
        Study("affine", title, tuple(cases), _measure, _draw, panels=3), out_dir, on_progress
    )


def _measure(case: Case) -> Iterable[Row]:
    name = SeriesName(**case)
    series = published_series()[name]
    fit = fit_affine(series.size_b.tolist(), series.latency_s_b.tolist())
    curve_s_b = left_out_by_neighbours(series)
    board = OTHERWISE if name.board == REFERENCE else REFERENCE
    for place, size in enumerate(series.size_b.tolist()):
        latency_s = float(series.latency_s_b[place])
        other_s = scaled(name, board, size)
        yield {
            "batch": size,
            "latency_s": latency_s,
            "setup_s": f"{fit.setup_s:.6g}",
            "marginal_s": f"{fit.marginal_s:.6g}",
            "line_error": _error(fit.setup_s + fit.marginal_s * size, latency_s),
            "curve_error": _error(float(curve_s_b[place]), latency_s),
            "scaled_from": board if other_s is not None else "",
            "scaled_error": _error(other_s, latency_s),
        }


def _error(said_s: float | None, latency_s: float) -> str:
    """Said ÷ published − 1, below 0 where batches take longer than was said; empty if nothing
    was."""
    return "" if said_s is None or np.isnan(said_s) else f"{said_s / latency_s - 1.0:.4f}"


def _draw(rows: Sequence[Row], axes: Sequence[Any]) -> None:
    by_size, by_board, example = axes
    found = [[float(row["line_error"]) for row in rows if row["batch"] == size] for size in SIZES]
    by_size.boxplot(found, whis=(5, 95), showfliers=False)
    by_size.set_xticks(range(1, len(SIZES) + 1), [str(size) for size in SIZES])
    by_size.axhline(0.0, color="black", linewidth=0.5)
    by_size.set_xlabel("batch size")
    by_size.set_ylabel("line ÷ published − 1 (box: half, whiskers: 90 %)")
    _draw_boards(rows, by_board)
    _draw_example(rows, example)


def _draw_boards(rows: Sequence[Row], axes: Any) -> None:
    names = sorted({_board(row) for row in rows})
    for number, (column, label) in enumerate(JUDGES.items()):
        middles = [_middle([row for row in rows if _board(row) == name], column) for name in names]
        places = np.arange(len(names)) + (number - 1) * 0.27
        axes.barh(places, middles, 0.27, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("absolute error, median over sizes and networks")
    axes.legend(loc=(0.52, 0.2))  # beside boards whose times are not scaled


def _board(row: Row) -> str:
    return f"{row['board']}, {row['precision']}"


def _middle(rows: Sequence[Row], column: str) -> float:
    errors = [abs(float(row[column])) for row in rows if row[column] != ""]
    return statistics.median(errors) if errors else 0.0


def _draw_example(rows: Sequence[Row], axes: Any) -> None:
    named = ("framework", "network", "board", "precision")
    shown = [row for row in rows if tuple(row[column] for column in named) == EXAMPLE]
    shown = shown or list(rows[:1])
    sizes = [float(row["batch"]) for row in shown]
    line_s = [float(row["setup_s"]) + float(row["marginal_s"]) * size
              for row, size in zip(shown, sizes, strict=True)]  # fmt: skip
    axes.plot(sizes, [float(row["latency_s"]) for row in shown], "o", label="published")
    axes.plot(sizes, line_s, "-", label=JUDGES["line_error"])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("batch size")
    axes.set_ylabel(f"seconds: {shown[0]['network']} on {shown[0]['board']}")
    axes.legend()
