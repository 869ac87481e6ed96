"""What the bound knows of a timeline's faults."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.timeline import (
    ClockJump,
    Controller,
    LinkSlowdown,
    NodeSlowdown,
    TimelineEvent,
)
from planner.programs.clairvoyant import Health
from serving.deploy.health_checks import HANG_S
from serving.experiments.health import health_of
from serving.simulation.simulated_faults import RESTART_S
from support.demo_setting import demo_demand, demo_setting

PROBLEM = demo_setting().problem(demo_demand().phases[0])


def health(*timeline: TimelineEvent, duration_s: float = 20.0) -> Health:
    return health_of(PROBLEM, timeline, duration_s, 1.0)


def test_without_faults_all_is_there_all_the_time() -> None:
    found, whole = health(duration_s=19.5), Health.whole(PROBLEM, 20)
    for name in ("client_kc", "edge_ke", "cloud_k", "link_ka", "backhaul_ke"):
        assert (getattr(found, name) == getattr(whole, name)).all(), name


def test_a_killed_edge_is_away_until_its_process_is_started_anew() -> None:
    found = health(TimelineEvent(at_s=2.25, kill_node="edge-0"))
    assert found.edge_ke[:3, 0].tolist() == [1.0, 1.0, 0.25]
    assert found.edge_ke.sum() == pytest.approx(20 - RESTART_S)
    assert (found.client_kc == 1).all()


def test_a_node_that_stands_still_does_nothing_until_it_goes_on() -> None:
    found = health(
        TimelineEvent(at_s=3, stop_node="client-0"), TimelineEvent(at_s=5.5, resume_node="client-0")
    )
    assert found.client_kc[2:7, 0].tolist() == [1.0, 0.0, 0.0, 0.5, 1.0]


def test_a_node_that_never_goes_on_is_started_anew_once_it_is_taken_for_dead() -> None:
    found = health(TimelineEvent(at_s=3, stop_node="edge-0"), duration_s=80.0)
    assert found.edge_ke.sum() == pytest.approx(80 - HANG_S - RESTART_S)
    assert found.edge_ke[-1, 0] == 1.0


def test_a_cut_link_carries_nothing_until_it_is_restored() -> None:
    ends = ("client-1", "edge-0")
    found = health(TimelineEvent(at_s=5, cut_link=ends), TimelineEvent(at_s=8, restore_link=ends))
    assert np.flatnonzero(found.link_ka[:, 1] == 0).tolist() == [5, 6, 7]
    assert (found.link_ka[:, [0, 2]] == 1).all()
    assert (found.backhaul_ke == 1).all()


def test_a_silent_link_carries_nothing_either() -> None:
    ends = ("edge-0", "cloud")
    found = health(
        TimelineEvent(at_s=5, silence_link=ends), TimelineEvent(at_s=7, restore_link=ends)
    )
    assert np.flatnonzero(found.backhaul_ke[:, 0] == 0).tolist() == [5, 6]
    assert (found.link_ka == 1).all()


def test_a_node_without_device_answers_nothing_and_its_links_stay() -> None:
    found = health(
        TimelineEvent(at_s=3, lose_device="edge-0"),
        TimelineEvent(at_s=6.5, restore_device="edge-0"),
        TimelineEvent(at_s=9, lose_device="client-1"),
    )
    assert found.edge_ke[2:8, 0].tolist() == [1.0, 0.0, 0.0, 0.0, 0.5, 1.0]
    assert np.flatnonzero(found.client_kc[:, 1] == 0).tolist() == list(range(9, 20))
    assert (found.link_ka == 1).all()
    assert (found.backhaul_ke == 1).all()


def test_a_clock_that_jumps_and_a_controller_that_dies_take_nothing_away() -> None:
    found = health(
        TimelineEvent(at_s=3, jump_clock=ClockJump(node="edge-0", by_s=3600)),
        TimelineEvent(at_s=5, kill_controller=Controller.SERVE),
    )
    for name in ("client_kc", "edge_ke", "cloud_k", "link_ka", "backhaul_ke"):
        assert (getattr(found, name) == 1).all(), name


def test_what_is_slower_by_a_factor_has_that_part_of_its_capacity() -> None:
    found = health(
        TimelineEvent(at_s=3, slow_node=NodeSlowdown(node="client-2", factor=4)),
        TimelineEvent(at_s=4, slow_link=LinkSlowdown(link=("edge-0", "cloud"), factor=2)),
        TimelineEvent(at_s=6, slow_node=NodeSlowdown(node="client-2", factor=1)),
        TimelineEvent(at_s=10, slow_node=NodeSlowdown(node="cloud", factor=5)),
    )
    assert found.client_kc[:8, 2].tolist() == [1, 1, 1, 0.25, 0.25, 0.25, 1, 1]
    assert found.backhaul_ke[2:6, 0].tolist() == [1, 1, 0.5, 0.5]
    assert found.cloud_k[9:12].tolist() == [1, 0.2, 0.2]
