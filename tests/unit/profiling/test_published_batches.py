"""Published batch times of GPUs: what the file says, and what is made of it."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from profiling import published_batches
from profiling.published_batches import (
    BatchSeries,
    SeriesName,
    left_out_by_neighbours,
    published_series,
    read_series,
    scaled,
)
from support.paths import ROOT

RESNEXT = SeriesName("PyTorch", "resnext101-32x4d", "T4", "mixed/fp16", "")
HEADER = "# made up\nframework,network,board,precision,variant,batch,latency_s,source\n"


def test_every_published_figure_is_there_with_its_page() -> None:
    every = published_series()
    assert sum(len(series.size_b) for series in every.values()) == 916
    assert len(every) == 136
    for series in every.values():
        assert (np.diff(series.size_b) > 0).all()
        assert (series.latency_s_b > 0).all()
    assert every[RESNEXT].at(8) == pytest.approx(8 / 371, rel=1e-5)  # images a second there
    assert every[RESNEXT].at(3) is None


def test_a_size_is_judged_by_its_neighbours() -> None:
    series = BatchSeries(RESNEXT, np.array([1, 2, 4, 8]), np.array([1.0, 1.5, 2.0, 6.0]))
    np.testing.assert_allclose(left_out_by_neighbours(series), [np.nan, 4 / 3, 3.0, np.nan])


def test_a_time_is_scaled_by_the_other_networks_on_both_boards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ratios of the others are 2 and 8, so 4; that of the network itself does not count."""
    times = {("a", "T4"): 5.0, ("b", "T4"): 2.0, ("c", "T4"): 8.0, ("d", "V100"): 1.0}
    times |= {("a", "V100"): 3.0, ("b", "V100"): 1.0, ("c", "V100"): 1.0}
    lines = [f"F,{network},{board},fp16,,1,{s},page:1\n" for (network, board), s in times.items()]
    file = tmp_path / "batches.csv"
    file.write_text(HEADER + "".join(lines))
    monkeypatch.setattr(published_batches, "published_series", lambda: read_series(file))
    name = SeriesName("F", "a", "T4", "fp16", "")
    assert scaled(name, "V100", 1) == pytest.approx(3.0 * 4.0)
    assert scaled(name, "V100", 2) is None  # not published
    assert scaled(name, "A100", 1) is None
    assert scaled(name._replace(network="b", board="V100"), "T4", 1) == pytest.approx(
        2.0 * (3.0 / 5.0 / 8.0) ** 0.5
    )
    assert scaled(SeriesName("F", "d", "T4", "fp16", ""), "V100", 1) == pytest.approx(
        1.0 * (5.0 / 3.0 * 2.0 * 8.0) ** (1 / 3)
    )


def test_the_page_says_what_the_experiment_found() -> None:
    with (ROOT / "benchmarks/results/experiments/affine.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    said = []
    for column in ("line_error", "curve_error", "scaled_error"):
        errors = [abs(float(row[column])) for row in rows if row[column]]
        said.append(f"{_percent(median(errors))} ({_percent(float(np.quantile(errors, 0.9)))})")
    page = (ROOT / "docs/experiments.md").read_text()
    assert f"| all | {len(rows)} | {' | '.join(said)} |" in page


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
