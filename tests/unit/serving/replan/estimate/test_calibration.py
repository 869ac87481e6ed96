"""What links carry and devices take, as measured, and when plans go by it."""

from __future__ import annotations

import asyncio

import pytest

from cluster.timeline import LinkSlowdown, NodeSlowdown, TimelineEvent
from planner.policies import Options, solve
from serving.node.device.latency_model import BatchTotals
from serving.node.snapshot import LinkUse, NodeSnapshot
from serving.replan.calibrated_setting import calibrated
from serving.replan.estimate.calibration import Calibration, MeasuredRatio
from serving.simulation.simulate import simulate_beside
from serving.simulation.simulated_system import SimulatedSystem
from support.demo_setting import demo_demand, demo_setting

SETTING = demo_setting()


def after(*ratios: float, before: MeasuredRatio | None = None) -> MeasuredRatio:
    found = before or MeasuredRatio()
    for ratio in ratios:
        found = found.after(ratio)
    return found


def test_a_link_that_is_clearly_slower_is_used_as_slow_as_it_is() -> None:
    found = after(0.245, 0.26, 0.2475, 0.2525, 0.25)
    assert found.used == pytest.approx(0.25, abs=0.02)
    low, high = found.interval
    assert low < 0.25 < high
    assert high - low < 0.05


@pytest.mark.parametrize("ratios", [(0.9, 0.95, 0.92), (0.25, 0.24), (0.2, 1.0, 1.9, 0.4, 1.1)])
def test_what_may_be_chance_or_the_host_is_left(ratios: tuple[float, ...]) -> None:
    assert after(*ratios).used == 1.0


def test_one_stall_changes_nothing() -> None:
    assert after(1.0, 1.02, 8.0, 0.98, 1.0).used == 1.0


def test_what_is_used_stays_until_another_ratio_is_clear() -> None:
    slow = after(0.25, 0.25, 0.25)
    assert after(0.23, 0.28, 0.26, before=slow).used == slow.used
    assert after(*[1.03] * 7, before=slow).used == 1.0


@pytest.mark.parametrize(
    ("ratio", "used"), [(0.0, 1e-3), (2e-4, 1e-3), (-1.0, 1e-3), (1e300, 1e3), (float("inf"), 1e3)]
)
def test_a_ratio_beyond_reason_is_used_as_the_nearest_within_it(ratio: float, used: float) -> None:
    """0 would make batches free, and the state of the loop is refused where one is not above it."""
    found = after(*[ratio] * 9)
    assert found.used == used
    assert MeasuredRatio.model_validate_json(found.model_dump_json()) == found
    assert after(*[1.0] * 7, before=found).used == 1.0


def test_a_look_whose_ratio_is_no_number_says_nothing() -> None:
    assert after(0.25, float("nan"), 0.25) == after(0.25, 0.25)


def shown(taken_s: float, link: LinkUse, batches: BatchTotals) -> dict[str, NodeSnapshot]:
    def of(node: str, **more: object) -> NodeSnapshot:
        return NodeSnapshot(node, taken_s, 0.0, 0, 0, (), 1, {}, {}, {}, {}, **more)  # type: ignore[arg-type]

    return {
        "client-0": of("client-0", links={"edge-0": link}),
        "edge-0": of("edge-0", batch_totals={"rooms-large-all": batches}),
    }


def test_counters_of_a_node_that_was_started_anew_are_all_new() -> None:
    found = Calibration()
    for sent, queries in ((10, 100), (11, 110), (1, 10), (2, 20), (3, 30)):
        link = LinkUse(sent * 200_000, sent * 1.0)
        batches = BatchTotals(queries, queries, queries * 4 * 0.028)
        found = found.after(shown(0.0, link, batches), SETTING)
    assert found.used == {"client-0 to edge-0": 0.5, "edge-0": 4.0}
    assert len(found.links["client-0 to edge-0"].recent) == 4


@pytest.mark.parametrize(
    ("extra_s", "used"), [(0.003, None), (0.04, pytest.approx(3.857, abs=1e-3))]
)
def test_a_longer_round_trip_is_planned_with_and_a_few_milliseconds_are_the_nodes_own(
    extra_s: float, used: float | None
) -> None:
    link, *others = SETTING.topology.links
    found = Calibration()
    for sent in range(1, 7):
        seen = LinkUse(sent * 400_000, sent * 1.0, link.rtt_s + extra_s)
        found = found.after(shown(0.0, seen, BatchTotals(0, 0, 0.0)), SETTING)
    assert found.used == ({} if used is None else {"the round trip of client-0 to edge-0": used})
    now, *others_now = calibrated(SETTING, found.used).topology.links
    assert now.rtt_s == pytest.approx(link.rtt_s + (0.0 if used is None else extra_s), abs=1e-4)
    assert [other.rtt_s for other in others_now] == [other.rtt_s for other in others]


def test_a_link_that_nothing_went_up_tells_no_round_trip() -> None:
    found = Calibration()
    for _ in range(6):
        found = found.after(shown(0.0, LinkUse(1_000, 0.01, 0.5), BatchTotals(0, 0, 0.0)), SETTING)
    assert found.round_trips == {}
    unanswered = LinkUse(2_000, 0.02)
    assert found.after(shown(0.0, unanswered, BatchTotals(0, 0, 0.0)), SETTING).used == {}


def test_a_setting_as_measured_has_the_ratios_and_nothing_else() -> None:
    changed = calibrated(SETTING, {"client-0 to edge-0": 0.25, "edge-0": 4.0})
    phase = demo_demand().phases[0]
    was, now = SETTING.problem(phase), changed.problem(phase)
    assert (now.client_uplink_c / was.client_uplink_c).tolist() == [0.25, 1.0, 1.0]
    assert now.edge_marginal_em == pytest.approx(4.0 * was.edge_marginal_em)
    assert now.client_marginal_cm.tolist() == was.client_marginal_cm.tolist()
    assert calibrated(SETTING, {}) is SETTING


def test_slow_links_and_nodes_are_found_in_seconds_and_so_is_their_end() -> None:
    """In the simulated demo the backhaul and the edge are slowed from 4 s to 14 s."""
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 26.0})
    plan = solve(SETTING.problem(phase), "certified", Options(overrun=None)).plan
    timeline = [
        TimelineEvent(at_s=4.0, slow_link=LinkSlowdown(link=("client-0", "edge-0"), factor=2.0)),
        TimelineEvent(at_s=4.0, slow_node=NodeSlowdown(node="edge-0", factor=4.0)),
        TimelineEvent(at_s=14.0, restore_link=("client-0", "edge-0")),
        TimelineEvent(at_s=14.0, slow_node=NodeSlowdown(node="edge-0", factor=1.0)),
    ]
    used: list[dict[str, float]] = []

    async def look(system: SimulatedSystem) -> None:
        found = Calibration()
        while True:
            await asyncio.sleep(1.0)
            found = found.after(system.snapshots(), SETTING)
            used.append(found.used)

    simulate_beside(SETTING, plan, [phase], look, timeline=timeline)
    assert used[3] == {}
    assert used[11]["client-0 to edge-0"] == pytest.approx(0.5, rel=0.1)
    assert used[11]["edge-0"] == pytest.approx(4.0, rel=0.25)
    assert set(used[11]) == {"client-0 to edge-0", "edge-0"}
    assert used[24] == {}
