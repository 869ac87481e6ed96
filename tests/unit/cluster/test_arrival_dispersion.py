"""The dispersion that stated arrivals are said to have is that of the arrivals drawn for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.arrival_dispersion import count_dispersion
from cluster.arrivals import GammaArrivals, MmppArrivals, MmppState
from cluster.demand import Phase
from serving.traffic.arrivals.draw import draw_arrivals
from serving.traffic.arrivals.streams import Streams

RATE_QPS = 20.0
BURSTS = {
    "kind": "mmpp",
    "states": [
        {"factor": 0.3, "dwell_s": 4}, {"factor": 1, "dwell_s": 1}, {"factor": 5, "dwell_s": 1},
    ],
}  # fmt: skip
SECONDS = np.arange(3_600)
COUNTS = np.random.default_rng(5).poisson(np.where(SECONDS % 60 < 12, 60, 10))


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same arrivals as counts and as times."""
    folder = tmp_path_factory.mktemp("traces")
    rows = [f"{second},{count}" for second, count in zip(SECONDS, COUNTS, strict=True)]
    (folder / "counts.csv").write_text("\n".join(["second,requests", *rows]) + "\n")
    times_s = np.sort(np.repeat(SECONDS, COUNTS) + np.random.default_rng(6).random(COUNTS.sum()))
    (folder / "times.csv").write_text("\n".join(["t_s", *(f"{at:.6f}" for at in times_s)]) + "\n")
    return folder


def phase_of(duration_s: float, rate_qps: float, **arrivals: Any) -> Phase:
    rates = {"car": {"depth": 0.75 * rate_qps, "edges": 0.25 * rate_qps}}
    return Phase.model_validate(
        {"duration_s": duration_s, "rates_qps": rates, "arrivals": {"car": arrivals}}
    )


def stated(phase: Phase, window_s: float) -> float:
    """What is said of the counts of the car."""
    rate_qps = sum(phase.rates_qps["car"].values())
    return count_dispersion(phase.arrivals_of("car"), rate_qps, window_s)


def drawn(phase: Phase, window_s: float) -> float:
    times_s = np.concatenate(list(draw_arrivals(phase, Streams(3, 0)).times_s.values()))
    windows = int(phase.duration_s / window_s)
    counts = np.bincount((times_s / window_s).astype(int), minlength=windows)[:windows]
    return float(counts.var() / counts.mean())


@pytest.mark.parametrize("window_s", [0.1, 0.4, 2.0])
@pytest.mark.parametrize(
    "arrivals",
    [
        {"kind": "poisson"},
        {"kind": "gamma", "cv": 4},
        {"kind": "gamma", "cv": 0.4},
        BURSTS,
        {"kind": "mmpp", "states": [{"factor": 0, "dwell_s": 0.5}, {"factor": 1, "dwell_s": 0.1}]},
    ],
    ids=["poisson", "clusters", "even", "three states", "on and off"],
)
def test_what_is_worked_out_is_what_is_drawn(arrivals: dict[str, Any], window_s: float) -> None:
    phase = phase_of(20_000.0, RATE_QPS, **arrivals)
    found = stated(phase, window_s)
    assert found == pytest.approx(drawn(phase, window_s), rel=0.08)


@pytest.mark.parametrize("window_s", [0.5, 4.0])
@pytest.mark.parametrize("rate_qps", [5.0, 60.0])
@pytest.mark.parametrize("file", ["counts.csv", "times.csv"])
@pytest.mark.parametrize("scale", [{}, {"speed": 4.0, "repeat": True}, {"scale": "time"}], ids=str)
def test_of_a_trace_too(
    traces: Path, file: str, scale: dict[str, Any], rate_qps: float, window_s: float
) -> None:
    """At a rate below what was recorded and above; copies are put between arrivals, so that short
    windows see a little less of them."""
    duration_s = COUNTS.sum() / rate_qps * 0.9 if "scale" in scale else 3_500.0
    phase = phase_of(duration_s, rate_qps, kind="replay", file=str(traces / file), **scale)
    found = stated(phase, window_s)
    assert found == pytest.approx(drawn(phase, window_s), rel=0.25)
    assert found > 1.5


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 Poisson arrivals, one a second: I is 1 as they were recorded."""
    times_s = np.cumsum(np.random.default_rng(7).exponential(1.0, 20_000))
    path = tmp_path_factory.mktemp("sparse") / "times.csv"
    path.write_text("\n".join(["t_s", *(f"{at:.6f}" for at in times_s)]) + "\n")
    return path


@pytest.mark.parametrize("window_s", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("rate_qps", [0.4, 1.0, 1.5, 4.0, 40.0])
def test_copies_of_a_recorded_arrival_come_in_its_burst(
    sparse: Path, rate_qps: float, window_s: float
) -> None:
    phase = phase_of(19_000.0, rate_qps, kind="replay", file=str(sparse))
    found = stated(phase, window_s)
    assert found == pytest.approx(drawn(phase, window_s), rel=0.05)
    # Poisson arrivals of which some are left out stay Poisson; with 40 copies they are far from it.
    assert found > 7 if rate_qps == 40 else found == pytest.approx(1, abs=0.05) or rate_qps > 1


def test_clients_that_share_a_trace_get_their_part_of_its_bursts(sparse: Path) -> None:
    rates = {"car": {"depth": 30.0}, "bike": {"depth": 6.0, "edges": 4.0}, "tram": {"depth": 5.0}}
    arrivals = {
        "*": {"kind": "replay", "file": str(sparse)}, "tram": {"kind": "poisson"},
    }  # fmt: skip
    phase = Phase.model_validate({"duration_s": 19_000.0, "rates_qps": rates, "arrivals": arrivals})
    times_s = draw_arrivals(phase, Streams(3, 0)).times_s
    counts = {}
    together = count_dispersion(phase.arrivals["*"], 40.0, 1.0)
    for client, part in (("car", 0.75), ("bike", 0.25), ("tram", 0.0)):
        own_s = np.concatenate([at for (name, _), at in times_s.items() if name == client])
        counts[client] = np.bincount(own_s.astype(int), minlength=19_000)
        own = counts[client].var() / counts[client].mean()
        assert 1 + part * (together - 1) == pytest.approx(own, rel=0.06)
    assert phase.common_bursts == 1.0
    # v_i = (I_i - 1) / N_i is the same for both, and so is their covariance / (N_i N_k).
    covariance = np.cov(counts["car"], counts["bike"])[0, 1]
    assert covariance / 300.0 == pytest.approx((together - 1) / 40.0, rel=0.06)
    relative = (phase.dispersion_of("bike", 1.0) - 1) / 10.0
    assert relative == pytest.approx((phase.dispersion_of("car", 1.0) - 1) / 30.0)
    assert phase.dispersion_of("tram", 1.0) == 1.0


def test_common_bursts_are_those_of_the_arrivals_or_what_is_stated() -> None:
    assert phase_of(10.0, RATE_QPS, **BURSTS).common_bursts == 0.0
    assert phase_of(10.0, RATE_QPS, **BURSTS, correlation=0.4).common_bursts == 0.4
    assert Phase(duration_s=1, rates_qps={}).common_bursts == 0.0
    assert Phase(duration_s=1, rates_qps={}, burst_correlation=0.7).common_bursts == 0.7


def test_what_is_stated_goes_before_what_arrivals_have() -> None:
    phase = phase_of(10.0, RATE_QPS, **BURSTS)
    said = phase.model_copy(update={"dispersion": {"car": 3.0}})
    assert phase.dispersion_of("car", 0.4) > 10
    assert said.dispersion_of("car", 0.4) == 3.0
    assert phase.model_copy(update={"arrivals": {}}).dispersion_of("car", 0.4) == 1.0
    assert phase.dispersion_of("nobody", 0.4) == 1.0


@settings(deadline=None)
@given(
    factors=st.lists(st.just(0.0) | st.floats(1e-3, 1e3), min_size=2, max_size=5).filter(any),
    dwell_s=st.floats(1e-3, 1e6),
    rate_qps=st.floats(1e-6, 1e5),
    window_s=st.floats(1e-3, 1e3),
)
def test_a_rate_that_jumps_is_never_calmer_than_poisson(
    factors: list[float], dwell_s: float, rate_qps: float, window_s: float
) -> None:
    """Nor beyond a rate that stays in one state for the whole window."""
    states = tuple(MmppState(factor=factor, dwell_s=dwell_s) for factor in factors)
    found = count_dispersion(MmppArrivals(kind="mmpp", states=states), rate_qps, window_s)
    spread = float(np.var(factors) / np.mean(factors) ** 2)
    assert 1.0 <= found <= (1.0 + rate_qps * window_s * spread) * 1.001


@settings(deadline=None)
@given(cv=st.floats(0.05, 500), rate_qps=st.floats(1e-6, 1e4), window_s=st.floats(1e-3, 100))
def test_gaps_of_any_spread_have_one(cv: float, rate_qps: float, window_s: float) -> None:
    found = count_dispersion(GammaArrivals(kind="gamma", cv=cv), rate_qps, window_s)
    assert np.isfinite(found)
    assert found >= 0
