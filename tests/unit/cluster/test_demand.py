"""Demand files: how arrivals are stated, and what is refused about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.arrivals import ClosedLoop, GammaArrivals, PoissonArrivals, ReplayArrivals
from cluster.demand import Demand
from cluster.document import DocumentError

RATES = {"phone": {"depth": 3.0, "edges": 1.0}, "car": {"depth": 2.0}}


def demand(**phase: Any) -> Demand:
    data = {"name": "d", "phases": [{"duration_s": 60, "rates_qps": RATES, **phase}]}
    return Demand.parse(data, source="demand.yaml")


def refusal(**phase: Any) -> str:
    with pytest.raises(DocumentError) as refused:
        demand(**phase)
    return str(refused.value)


def test_arrivals_are_poisson_unless_the_file_says_more() -> None:
    assert demand().phases[0].arrivals_of("phone") == PoissonArrivals()


def test_one_process_is_meant_for_every_client() -> None:
    (phase,) = demand(arrivals={"kind": "gamma", "cv": 3}).phases
    assert phase.arrivals_of("phone") == phase.arrivals_of("car")
    assert isinstance(phase.arrivals_of("car"), GammaArrivals)


def test_a_client_may_have_a_process_of_its_own() -> None:
    (phase,) = demand(
        arrivals={"*": {"kind": "gamma", "shape": 0.25}, "phone": {"kind": "poisson"}}
    ).phases
    assert phase.arrivals_of("phone") == PoissonArrivals()
    gamma = phase.arrivals_of("car")
    assert isinstance(gamma, GammaArrivals)
    assert gamma.gap_shape == 0.25


def test_a_demand_can_be_written_and_read_again(tmp_path: Path) -> None:
    made = demand(arrivals={"kind": "gamma", "cv": 3}, drift_to_qps={"phone": {"depth": 1.0}})
    assert Demand.load(made.save(tmp_path / "d.yaml")) == made


@pytest.mark.parametrize(
    ("arrivals", "message"),
    [
        ({"kind": "gama"}, "phases.0.arrivals.*: expected `kind`, one of poisson, gamma, mmpp, "),
        ({"kind": "gamma"}, "say either `cv` or `shape`"),
        ({"kind": "gamma", "cv": 2, "shape": 1}, "say either `cv` or `shape`"),
        (
            {"kind": "gamma", "cvv": 2},
            "phases.0.arrivals.*.gamma.cvv: unknown key; did you mean cv?",
        ),
        ({"kind": "gamma", "cv": -1}, "expected a number over 0 (got -1)"),
        ({"cv": 2}, "expected `kind: ...`, or for each client a mapping with its kind"),
        ({"phne": {"kind": "poisson"}}, "arrivals.phne: `rates_qps` has no client of that name"),
        ({"kind": "mmpp", "states": [{"factor": 1, "dwell_s": 1}]}, "at least 2 entries"),
        (
            {"kind": "mmpp", "states": [{"factor": 0, "dwell_s": 1}] * 2},
            "every state has factor 0, so nothing would ever arrive",
        ),
        ({"kind": "diurnal"}, "say either `swing` or `factors`"),
        ({"kind": "diurnal", "factors": [0, 0]}, "every factor is 0"),
        ({"kind": "diurnal", "factors": [0, 1], "peak_s": 3}, "shift the `factors` instead"),
        (
            {"kind": "flash_crowd", "at_s": 60, "hold_s": 1, "factor": 3},
            "the crowd comes at 60 s, after the phase's end at 60 s",
        ),
        ({"kind": "closed_loop", "callers": 0, "think_s": 1}, "at least 1"),
        ({"kind": "closed_loop", "callers": 1, "think_s": 0}, "over 0"),
        (
            {"kind": "replay", "file": "t", "times": "a", "counts": "b"},
            "either `times` or `counts`",
        ),
        ({"kind": "replay", "file": "t", "period_s": 3}, "`period_s` belongs to `counts`"),
        ({"kind": "replay", "file": "t", "scale": "time", "speed": 3}, "leave out `speed`"),
        ({"kind": "replay", "file": "t", "start_s": -3}, "at least 0"),
    ],
)
def test_wrong_arrivals_are_refused(arrivals: dict[str, Any], message: str) -> None:
    assert message in refusal(arrivals=arrivals)


def test_a_rate_below_zero_is_refused() -> None:
    assert "at least 0" in refusal(rates_qps={"phone": {"depth": -1.0}})


@pytest.mark.parametrize(
    ("drift", "message"),
    [
        ({"phone": {"normals": 1.0}}, "drift_to_qps.phone.normals: `rates_qps` lacks it"),
        ({"boat": {}}, "drift_to_qps.boat: `rates_qps` lacks it"),
        ({"phone": {"depth": -1.0}}, "at least 0"),
    ],
)
def test_a_drift_goes_to_streams_that_the_phase_has(drift: dict[str, Any], message: str) -> None:
    assert message in refusal(drift_to_qps=drift)


def test_a_stream_that_the_drift_leaves_out_ends_at_zero() -> None:
    (phase,) = demand(drift_to_qps={"phone": {"edges": 5.0}}).phases
    assert phase.end_qps("phone", "edges") == 5.0
    assert phase.end_qps("phone", "depth") == phase.end_qps("car", "depth") == 0.0


def replaying(folder: Path, trace: str | None) -> Path:
    if trace is not None:
        (folder / "trace.csv").write_text(trace)
    arrivals = {"kind": "replay", "file": "trace.csv"}
    data = {
        "name": "d",
        "phases": [{"duration_s": 60, "rates_qps": RATES, "arrivals": arrivals}],
    }
    path = folder / "demand.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_trace_is_sought_beside_its_demand(tmp_path: Path) -> None:
    process = Demand.load(replaying(tmp_path, "t_s\n0\n1\n")).phases[0].arrivals_of("car")
    assert isinstance(process, ReplayArrivals)
    assert process.trace.total == 2


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        (None, "trace.csv: No such file"),
        ("t_s\n2\n1\n", "trace.csv: line 3: the trace goes backwards; sort its rows by time"),
    ],
)
def test_a_wrong_trace_is_refused_with_the_demand_in_one_line(
    tmp_path: Path, trace: str | None, message: str
) -> None:
    path = replaying(tmp_path, trace)
    with pytest.raises(DocumentError) as refused:
        Demand.load(path)
    assert str(refused.value).startswith(f"{path}: phases.0.arrivals: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def two_phases() -> Demand:
    phases = [{"duration_s": 30, "rates_qps": RATES}, {"duration_s": 50, "rates_qps": RATES}]
    timeline = [
        {"at_s": at_s, "kill_node": f"n{position}"} for position, at_s in enumerate((0, 20, 30, 65))
    ]
    return Demand.parse({"name": "d", "phases": phases, "timeline": timeline})


@pytest.mark.parametrize(
    ("phase", "duration_s", "durations", "events"),
    [
        (None, None, [30, 50], [(0, "n0"), (20, "n1"), (30, "n2"), (65, "n3")]),
        (0, None, [30], [(0, "n0"), (20, "n1")]),
        (1, None, [50], [(0, "n2"), (35, "n3")]),
        (None, 10.0, [10, 10], [(0, "n0"), (10, "n2")]),
        (1, 100.0, [100], [(0, "n2"), (35, "n3")]),
    ],
)
def test_a_part_of_a_demand_has_the_events_of_its_time(
    phase: int | None,
    duration_s: float | None,
    durations: list[float],
    events: list[tuple[float, str]],
) -> None:
    phases, timeline = two_phases().part(phase, duration_s)
    assert [part.duration_s for part in phases] == durations
    assert [(event.at_s, event.kill_node) for event in timeline] == events


def test_a_part_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="--phase 2: the demand 'd' has phases 0 to 1"):
        two_phases().part(2)
    with pytest.raises(ValueError, match="--duration must be positive, got 0"):
        two_phases().part(0, 0.0)


def test_a_demand_is_scaled_with_its_drift_and_its_callers() -> None:
    (phase,) = demand(
        drift_to_qps={"car": {"depth": 4.0}},
        arrivals={"phone": {"kind": "closed_loop", "callers": 5, "think_s": 1}},
    ).phases
    scaled = phase.scaled(1.5)
    assert scaled.rates_qps["car"] == {"depth": 3.0}
    assert scaled.end_qps("car", "depth") == 6.0
    assert scaled.arrivals["phone"] == ClosedLoop(kind="closed_loop", callers=8, think_s=1)
    assert scaled.total_qps == 1.5 * phase.total_qps


PAIR = {"client": "phone", "tasks": ["edges", "depth"], "qps": 2.5}


def test_bundles_are_part_of_what_is_asked() -> None:
    other = {"client": "car", "tasks": ["depth", "normals"], "qps": 1}
    (phase,) = demand(bundles=[PAIR, other]).phases
    assert phase.asked_qps == {
        "phone": {"depth": 5.5, "edges": 3.5}, "car": {"depth": 3.0, "normals": 1.0}
    }  # fmt: skip
    assert phase.total_qps == 13.0
    assert [bundle.name for bundle in phase.bundles] == ["depth+edges", "depth+normals"]
    scaled = phase.scaled(2.0)
    assert scaled.total_qps == 26.0
    assert [bundle.qps for bundle in scaled.bundles] == [5.0, 2.0]
    assert demand().phases[0].asked_qps == RATES


def test_a_demand_with_bundles_can_be_written_and_read_again(tmp_path: Path) -> None:
    made = demand(bundles=[PAIR])
    assert Demand.load(made.save(tmp_path / "d.yaml")) == made


@pytest.mark.parametrize(
    ("bundle", "message"),
    [
        ({**PAIR, "client": "phne"}, "bundles.0.client: `rates_qps` has no client 'phne'; did you"),
        ({**PAIR, "tasks": ["depth"]}, "at least 2 entries"),
        ({**PAIR, "tasks": ["depth", "depth"]}, "'depth' is asked twice of one image"),
        ({**PAIR, "qps": -1}, "at least 0"),
        ({**PAIR, "rate": 1}, "phases.0.bundles.0.rate: unknown key"),
    ],
)
def test_wrong_bundles_are_refused(bundle: dict[str, Any], message: str) -> None:
    assert message in refusal(bundles=[bundle])


def test_a_bundle_is_stated_once_and_not_of_callers_who_wait() -> None:
    again = {**PAIR, "tasks": ["depth", "edges"]}
    assert "bundles.1: bundles.0 has the same tasks of 'phone'" in refusal(bundles=[PAIR, again])
    waiting = {"kind": "closed_loop", "callers": 2, "think_s": 1}
    assert "bundles.0: callers who wait" in refusal(bundles=[PAIR], arrivals={"phone": waiting})
