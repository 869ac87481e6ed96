"""The arrivals of a phase, whichever process draws them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cluster.demand import Phase
from serving.traffic.arrivals.draw import draw_arrivals
from serving.traffic.arrivals.streams import Streams

Times = NDArray[np.float64]
Dispersion = Callable[[Times, float, float], float]

RATES = {"c1": {"depth": 6.0, "edges": 2.0}, "c2": {"depth": 4.0}}
MMPP = {"kind": "mmpp", "states": [{"factor": 1, "dwell_s": 3}, {"factor": 8, "dwell_s": 1}]}
PROCESSES: list[dict[str, Any]] = [
    {"kind": "poisson"},
    {"kind": "gamma", "cv": 4.0},
    {**MMPP, "correlation": 0.5},
    {"kind": "diurnal", "swing": 0.9, "period_s": 20.0},
    {"kind": "flash_crowd", "at_s": 4.0, "rise_s": 2.0, "hold_s": 5.0, "factor": 3.0},
]


def phase(duration_s: float = 2_000.0, **more: Any) -> Phase:
    return Phase.model_validate({"duration_s": duration_s, "rates_qps": RATES, **more})


def draw(of: Phase, seed: int = 1) -> dict[tuple[str, str], Times]:
    return dict(draw_arrivals(of, Streams(seed, 0)).times_s)


def client(drawn: dict[tuple[str, str], Times], name: str) -> Times:
    return np.sort(np.concatenate([times for stream, times in drawn.items() if stream[0] == name]))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(PROCESSES),
    st.integers(0, 2**32),
    st.floats(5, 60),
    st.none() | st.just({"c1": {"depth": 0.0, "edges": 9.0}, "c2": {"depth": 1.0}}),
)
def test_every_process_stays_within_the_phase_and_repeats_with_its_seed(
    process: dict[str, Any], seed: int, duration_s: float, drift: dict[str, Any] | None
) -> None:
    asked = phase(duration_s, arrivals=process, drift_to_qps=drift)
    drawn, again = draw(asked, seed), draw(asked, seed)
    assert set(drawn) == {("c1", "depth"), ("c1", "edges"), ("c2", "depth")}
    for stream, times_s in drawn.items():
        assert np.all(np.diff(times_s) >= 0)
        assert np.all((times_s >= 0) & (times_s < duration_s))
        assert np.array_equal(times_s, again[stream])


@pytest.mark.parametrize("process", PROCESSES[:4], ids=lambda process: process["kind"])
def test_the_mean_rate_of_every_stream_is_that_of_the_phase(process: dict[str, Any]) -> None:
    counts = dict.fromkeys([("c1", "depth"), ("c1", "edges"), ("c2", "depth")], 0)
    for seed in range(12):
        for stream, times_s in draw(phase(arrivals=process), seed).items():
            counts[stream] += len(times_s)
    # The burstiest, gamma with cv 4, has a deviation of 4 · √144,000 of its 144,000: 1 %.
    for (name, task), count in counts.items():
        assert count / 24_000 == pytest.approx(RATES[name][task], rel=0.06)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process["kind"])
def test_another_client_leaves_the_streams_of_the_first_as_they_were(
    process: dict[str, Any],
) -> None:
    before = draw(phase(50.0, arrivals=process))
    after = draw(phase(50.0, arrivals=process, rates_qps={**RATES, "a0": {"depth": 5.0}}))
    for stream, times_s in before.items():
        assert np.array_equal(times_s, after[stream])


def test_tasks_of_a_client_burst_together_under_gamma(dispersion: Dispersion) -> None:
    """In long windows variance ÷ mean of a client's count is cv², here 16, less at its edges."""
    drawn = draw(phase(40_000.0, arrivals={"kind": "gamma", "cv": 4.0}))
    assert dispersion(client(drawn, "c1"), 40_000, 20.0) == pytest.approx(16, rel=0.15)
    # A task is one of four (three of four) arrivals: 1 + p (16 - 1).
    assert dispersion(drawn["c1", "edges"], 40_000, 20.0) == pytest.approx(1 + 15 / 4, rel=0.15)


def test_clients_burst_together_as_much_as_they_are_correlated(dispersion: Dispersion) -> None:
    alone, together = (
        draw(phase(20_000.0, arrivals={**MMPP, "correlation": correlation}))
        for correlation in (0.0, 1.0)
    )
    ones = [dispersion(client(drawn, "c1"), 20_000, 1.0) for drawn in (alone, together)]
    assert ones[1] == pytest.approx(ones[0], rel=0.1)
    # The variance of the sum of a rate of 8 and one of 4: 64 + 16 alone, 144 together.
    totals = [
        dispersion(np.sort(np.concatenate(list(drawn.values()))), 20_000, 1.0)
        for drawn in (alone, together)
    ]
    assert (totals[1] - 1) / (totals[0] - 1) == pytest.approx(144 / 80, rel=0.1)


def test_poisson_has_a_dispersion_of_one(dispersion: Dispersion) -> None:
    drawn = draw(phase(20_000.0))
    assert dispersion(client(drawn, "c1"), 20_000, 1.0) == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("process", PROCESSES[:2], ids=lambda process: process["kind"])
def test_a_mix_drifts_in_a_straight_line_from_the_first_to_the_last(
    process: dict[str, Any],
) -> None:
    to_qps = {"c1": {"depth": 0.0, "edges": 8.0}, "c2": {"depth": 4.0}}
    found = np.zeros((2, 4))
    for seed in range(10):
        drawn = draw(phase(arrivals=process, drift_to_qps=to_qps), seed)
        for row, task in enumerate(("depth", "edges")):
            found[row] += np.histogram(drawn["c1", task], bins=4, range=(0, 2_000))[0] / 5_000
    assert found[0] == pytest.approx([5.25, 3.75, 2.25, 0.75], rel=0.12)
    assert found[1] == pytest.approx([2.75, 4.25, 5.75, 7.25], rel=0.12)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    rows = [f"{second},{40 if second % 50 < 10 else 5}" for second in range(2_000)]
    path.write_text("\n".join(["second,requests", *rows]) + "\n")
    return path


def test_one_trace_for_all_clients_is_split_by_their_rates(trace: Path) -> None:
    arrivals = {"kind": "replay", "file": str(trace)}
    drawn = draw_arrivals(phase(arrivals=arrivals), Streams(1, 0))
    counts = {stream: len(times_s) for stream, times_s in drawn.times_s.items()}
    assert sum(counts.values()) == pytest.approx(24_000, rel=0.02)
    assert counts["c1", "depth"] == pytest.approx(12_000, rel=0.03)
    for times_s in drawn.times_s.values():
        # 400 of 600 recorded arrivals of a cycle lie in its first ten seconds.
        assert np.mean(times_s % 50 < 10) == pytest.approx(2 / 3, abs=0.03)
    assert len(drawn.how) == 1
    assert drawn.how[0].startswith("all clients: ")


def test_a_client_may_replay_while_the_others_do_not(trace: Path) -> None:
    arrivals = {"c1": {"kind": "replay", "file": str(trace)}}
    drawn = draw_arrivals(phase(arrivals=arrivals), Streams(1, 0))
    assert np.array_equal(drawn.times_s["c2", "depth"], draw(phase())["c2", "depth"])
    assert np.mean(drawn.times_s["c1", "depth"] % 50 < 10) == pytest.approx(2 / 3, abs=0.03)
    assert [how.split(":")[0] for how in drawn.how] == ["c1"]


def test_callers_who_wait_are_not_in_what_is_drawn_before_the_run() -> None:
    arrivals = {"c1": {"kind": "closed_loop", "callers": 3, "think_s": 0.5}}
    assert set(draw(phase(arrivals=arrivals))) == {("c2", "depth")}
