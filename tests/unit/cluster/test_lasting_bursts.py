"""How much room bursts get that last for longer than a window, by queues worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluster.arrival_dispersion import count_dispersion
from cluster.arrivals import (
    GammaArrivals,
    MmppArrivals,
    MmppState,
    PoissonArrivals,
    ReplayArrivals,
)
from cluster.lasting_bursts import late_share, planned_dispersion, trace_headroom

BURSTS = MmppArrivals(
    kind="mmpp",
    states=(MmppState(factor=1.5, dwell_s=1.0), MmppState(factor=0.5, dwell_s=1.0)),
)


def counts(folder: Path, counts_k: list[int]) -> ReplayArrivals:
    """Recorded counts of seconds."""
    path = folder / "counts.csv"
    rows = [f"{second},{count}" for second, count in enumerate(counts_k)]
    path.write_text("\n".join(["second,requests", *rows]) + "\n")
    return ReplayArrivals(kind="replay", file=str(path))


@pytest.mark.parametrize(
    ("count_k", "capacity", "late"),
    [
        ([4, 4, 4], 4.0, 0),
        ([4, 8, 0], 4.0, 4),  # the second window's are done in the fourth
        ([4, 8, 4], 4.0, 4 + 4),  # and what comes after them waits for them
        ([0, 4, 8, 2], 4.0, 4 + 2),
        ([12, 1, 1], 4.0, 8 + 1 + 1),  # 12 - 4 are left for the next, of which 8 + 1 - 4
        ([12, 0, 0, 0, 1], 4.0, 8),
    ],
)
def test_what_a_window_leaves_makes_the_next_one_late(
    count_k: list[int], capacity: float, late: int
) -> None:
    found = late_share(np.array(count_k, dtype=float), capacity)
    assert found == pytest.approx(late / sum(count_k))


def test_of_a_stated_process_two_windows_count() -> None:
    assert planned_dispersion(PoissonArrivals(), 50.0, 0.2) == 1.0
    assert planned_dispersion(BURSTS, 50.0, 0.2) == count_dispersion(BURSTS, 50.0, 0.4)
    even = GammaArrivals(kind="gamma", cv=0.3)
    assert planned_dispersion(even, 50.0, 0.2) == count_dispersion(even, 50.0, 0.4) < 0.3
    assert planned_dispersion(BURSTS, 0.0, 0.2) == 1.0


def test_a_trace_that_is_even_needs_no_headroom(tmp_path: Path) -> None:
    even = counts(tmp_path, [10] * 100)
    assert trace_headroom(even.trace, 1.0) == pytest.approx(0.0, abs=1e-6)
    assert planned_dispersion(even, 7.0, 0.5) == 1.0


@pytest.mark.parametrize("copies", [1.0, 3.0])
def test_room_for_a_trace_lets_its_own_bursts_through(tmp_path: Path, copies: float) -> None:
    """One minute in ten has five times the rate of the others. Less than .5 % may be late, so every
    window has to have room for that minute."""
    process = counts(tmp_path, ([50] * 60 + [10] * 540) * 3)
    mean_qps = (50 * 60 + 10 * 540) / 600
    headroom = trace_headroom(process.trace, 1.0)
    assert mean_qps * (1 + headroom) == pytest.approx(50, rel=0.01)
    rate_qps, window_s = copies * mean_qps, 0.5
    found = planned_dispersion(process, rate_qps, window_s)
    mean = rate_qps * window_s
    room = 1.645 * np.sqrt(found / mean)  # F17's, and Poisson's own
    assert mean * (1 + room) == pytest.approx(copies * 50 * window_s, rel=0.01)
    assert found > count_dispersion(process, rate_qps, 2 * window_s)


def test_a_part_of_a_trace_keeps_the_shape_of_its_bursts_and_the_chance_of_poisson(
    tmp_path: Path,
) -> None:
    process = counts(tmp_path, ([50] * 60 + [10] * 540) * 3)
    whole_qps = process.trace.total / process.trace.length_s
    whole = planned_dispersion(process, whole_qps, 1.0)
    tenth = planned_dispersion(process, whole_qps / 10, 1.0)
    assert (tenth - 1) / (whole - 1) == pytest.approx(0.1, rel=1e-3)


def test_faster_bursts_are_shorter(tmp_path: Path) -> None:
    process = counts(tmp_path, ([50] * 60 + [10] * 540) * 3)
    whole_qps = process.trace.total / process.trace.length_s
    faster = process.model_copy(update={"speed": 600.0})  # ten minutes in a second
    slow = planned_dispersion(process, whole_qps, 1.0)
    fast = planned_dispersion(faster, whole_qps * 600.0, 1.0)
    assert (fast - 1) / (whole_qps * 600.0) < 0.1 * (slow - 1) / whole_qps
