"""Schedules: repeatable, Poisson, and independent from client to client."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.demand import Phase
from cluster.timeline import TimelineEvent
from serving.traffic.schedule import Schedule, build_schedule

RATES = {"c1": {"depth": 3.0, "edges": 1.0}, "c2": {"depth": 2.0}}


def rows(schedule: Schedule, client: str, task: str) -> list[tuple[float, int]]:
    mask = (schedule.client_q == schedule.clients.index(client)) & (
        schedule.task_q == schedule.tasks.index(task)
    )
    return list(
        zip(schedule.scheduled_s_q[mask].tolist(), schedule.image_q[mask].tolist(), strict=True)
    )


def phase(rates: dict[str, dict[str, float]], duration_s: float = 60.0) -> Phase:
    return Phase(duration_s=duration_s, rates_qps=rates)


rates_strategy = st.dictionaries(
    st.sampled_from(["c1", "c2", "edge-7"]),
    st.dictionaries(st.sampled_from(["depth", "edges"]), st.floats(0, 20), max_size=2),
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(
    phases=st.lists(rates_strategy, min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
    images=st.integers(1, 7),
)
def test_a_schedule_is_sorted_within_its_phases_and_repeatable(
    phases: list[dict[str, dict[str, float]]], seed: int, images: int
) -> None:
    built = build_schedule([phase(rates, 5.0) for rates in phases], seed, images)
    again = build_schedule([phase(rates, 5.0) for rates in phases], seed, images)
    assert np.all(np.diff(built.scheduled_s_q) >= 0)
    assert built.duration_s == 5.0 * len(phases)
    starts = np.array(built.phase_starts_s)[built.phase_q] if len(built) else np.empty(0)
    assert np.all(built.scheduled_s_q >= starts)
    assert np.all(built.scheduled_s_q < starts + 5.0)
    assert np.all((built.image_q >= 0) & (built.image_q < images))
    for name in ("scheduled_s_q", "client_q", "task_q", "image_q", "phase_q"):
        assert np.array_equal(getattr(built, name), getattr(again, name))


def test_adding_a_client_leaves_the_others_as_they_were() -> None:
    before = build_schedule([phase(RATES)], 7, 20)
    after = build_schedule([phase({"a0": {"normals": 5.0}, **RATES})], 7, 20)
    for client, task in [("c1", "depth"), ("c1", "edges"), ("c2", "depth")]:
        assert rows(before, client, task) == rows(after, client, task)


def test_the_order_of_the_file_does_not_matter() -> None:
    turned = {client: dict(reversed(rates.items())) for client, rates in reversed(RATES.items())}
    assert np.array_equal(
        build_schedule([phase(RATES)], 7, 20).image_q,
        build_schedule([phase(turned)], 7, 20).image_q,
    )


def test_a_longer_run_begins_like_the_shorter_one() -> None:
    short, long = (build_schedule([phase(RATES, s)], 3, 9) for s in (10.0, 30.0))
    head = long.head(10.0)
    assert np.array_equal(short.scheduled_s_q, head.scheduled_s_q)
    assert np.array_equal(short.image_q, head.image_q)


def test_another_seed_gives_other_traffic() -> None:
    one, two = (build_schedule([phase(RATES)], seed, 20) for seed in (1, 2))
    assert not np.array_equal(one.scheduled_s_q[:10], two.scheduled_s_q[:10])


def test_arrivals_are_poisson_at_the_asked_rate() -> None:
    schedule = build_schedule([phase({"c1": {"depth": 50.0}}, 400.0)], 0, 100)
    gaps_s = np.diff(schedule.scheduled_s_q)
    assert len(schedule) == pytest.approx(20_000, rel=0.03)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(1.0, abs=0.03)


def test_arrivals_are_not_stretched_by_two_per_cent() -> None:
    """The number of arrivals of 200,000 has a standard deviation of .22 %."""
    phase = Phase(duration_s=2_000.0, rates_qps={"c1": {"depth": 100.0}})
    times_s = build_schedule([phase], 3, 10).scheduled_s_q
    assert len(times_s) == pytest.approx(200_000, rel=0.009)
    assert np.mean(times_s) == pytest.approx(1_000.0, rel=0.009)
    assert np.mean(np.diff(times_s)) == pytest.approx(0.01, rel=0.009)
    early_s = times_s[times_s < 1_000.0]
    assert len(early_s) == pytest.approx(100_000, rel=0.012)


def test_a_stream_shows_every_image_before_any_twice() -> None:
    schedule = build_schedule([phase({"c1": {"depth": 10.0}}, 10.0)], 0, 20)
    assert sorted(schedule.image_q[:20]) == list(range(20))


@pytest.mark.parametrize(
    ("phases", "images", "message"),
    [([phase(RATES)], 0, "at least one labelled image"), ([], 5, "at least one phase")],
)
def test_an_impossible_schedule_is_refused(phases: list[Phase], images: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_schedule(phases, 0, images)


def test_a_task_is_asked_only_of_images_that_have_its_label() -> None:
    labelled = {"depth": [2, 5], "normals": [0, 1, 3, 4]}
    rates = {"c1": {"depth": 10.0, "normals": 10.0}}
    schedule = build_schedule([phase(rates, 10.0)], 0, 6, labelled)
    for t, task in enumerate(schedule.tasks):
        assert set(schedule.image_q[schedule.task_q == t]) == set(labelled[task])
    with pytest.raises(ValueError, match="6 labelled images has a label of 'depth'"):
        build_schedule([phase(rates, 10.0)], 0, 6, {"normals": [1]})


def test_poisson_traffic_is_that_of_earlier_versions_to_the_last_bit() -> None:
    """Runs of other versions can be compared query by query. The digest is of version 0.2.0."""
    rates = {"c1": {"depth": 3.7, "edges": 0.0, "normals": 1e-9}, "a": {"depth": 911.1}}
    stated = Phase.model_validate(
        {"duration_s": 17.3, "rates_qps": rates, "arrivals": {"kind": "poisson"}}
    )
    for asked in (phase(rates, 17.3), stated):
        schedule = build_schedule([asked], 12, 240)
        digest = hashlib.sha256()
        for name in ("scheduled_s_q", "client_q", "task_q", "image_q", "phase_q"):
            digest.update(getattr(schedule, name).tobytes())
        assert len(schedule) == 15_609
        assert digest.hexdigest() == (
            "975d810f6646146a31a908d51344f923b98708e9551f5999fbf604c920650bfa"
        )


def test_an_event_scales_the_load_of_one_client_from_its_time_on() -> None:
    timeline = [
        TimelineEvent.model_validate({"at_s": at_s, "scale_load": {"client": "c1", "factor": f}})
        for at_s, f in ((100.0, 4.0), (250.0, 1.0))
    ]
    phases = [phase({"c1": {"depth": 10.0}, "c2": {"depth": 5.0}}, 200.0)] * 2
    plain, scaled = (build_schedule(phases, 3, 10, timeline=events) for events in ((), timeline))
    assert rows(plain, "c2", "depth") == rows(scaled, "c2", "depth")
    times_s = np.array([at_s for at_s, _ in rows(scaled, "c1", "depth")])
    counts = np.histogram(times_s, bins=[0, 100, 200, 250, 400])[0]
    assert counts == pytest.approx([1_000, 4_000, 2_000, 1_500], rel=0.12)


def test_the_report_can_say_how_a_trace_was_scaled(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("second,requests\n" + "".join(f"{k},4\n" for k in range(60)))
    arrivals = {"kind": "replay", "file": str(path)}
    asked = Phase.model_validate({"duration_s": 30, "rates_qps": RATES, "arrivals": arrivals})
    (how,) = build_schedule([asked], 1, 5).replayed
    assert how.startswith("phase 0, all clients: ")
    assert "each recorded arrival 1.5 times" in how


def test_rare_queries_come_too() -> None:
    built = build_schedule([phase({"c1": {"depth": 0.05}}, 10_000.0)], 3, 1)
    assert 400 < len(built) < 600
