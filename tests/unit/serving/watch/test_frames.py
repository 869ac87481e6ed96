"""What is shown of a moment: a made-up minute of the demo, and single samples."""

from __future__ import annotations

import pytest

from serving.node.answer_tally import BOUNDS_S
from serving.watch.course import steps_of
from serving.watch.rates import quantile_s, rates_between
from serving.watch.recorded import Recorded
from serving.watch.sample import NodeSample, SystemSample, WayCount, carried_on
from serving.watch.source import LiveSource, Replay
from support.demo_setting import demo_demand, demo_setting
from support.watch_cases import DECIDED_S, FLIP_S, KILLED_S, MadeUpNodes, SetClock, demo_plan


def node_of(**counters: object) -> NodeSample:
    base = {"busy_s": 0.0, "models": ("m",), "plan_version": 1, "device": "well"}
    return NodeSample.model_validate({**base, **counters})


def test_load_is_about_what_the_demand_asks(replay: Replay) -> None:
    first = demo_demand().phases[0]
    frame = replay.frame(FLIP_S - 1.0)
    assert frame.asked_qps == pytest.approx(first.total_qps, rel=0.25)
    by_client = {node.name: node.arrived_qps for node in frame.nodes if node.tier == "client"}
    assert sum(by_client.values()) == pytest.approx(frame.asked_qps)


def test_what_is_answered_is_what_went_over_links_and_stayed(replay: Replay) -> None:
    frame = replay.frame(FLIP_S - 1.0)
    links = {link.name: link for link in frame.links}
    up = sum(link.qps for name, link in links.items() if name.startswith("client"))
    at_clients = sum(node.answered_qps for node in frame.nodes if node.tier == "client")
    assert up + at_clients == pytest.approx(frame.answered_qps)
    cloud = next(node for node in frame.nodes if node.tier == "cloud")
    backhaul = sum(link.qps for name, link in links.items() if name.startswith("edge"))
    assert backhaul == pytest.approx(cloud.answered_qps)


def test_a_decision_is_known_as_far_as_it_had_come_by_then(replay: Replay) -> None:
    assert replay.frame(DECIDED_S - 0.5).decisions == ()
    (just_made,) = replay.frame(DECIDED_S + 0.5).decisions
    assert just_made.version == 0
    assert just_made.changes
    (done,) = replay.frame(DECIDED_S + 2.0).decisions
    assert (done.version, done.change_s) == (2, 1.4)
    assert done.alternatives[1].gap == pytest.approx(0.0107)


def test_the_plan_is_the_one_in_force_then(replay: Replay) -> None:
    versions = [replay.frame(at).plan for at in (1.0, DECIDED_S - 1, DECIDED_S + 1)]
    assert [plan.version for plan in versions if plan is not None] == [1, 1, 2]
    assert versions[0] is not None
    assert versions[0].gap is not None
    assert versions[0].gap < 0.03


def test_budgets_that_bind_have_a_price_and_the_others_none(replay: Replay) -> None:
    budgets = replay.frame(FLIP_S).budgets
    assert {budget.planned.label for budget in budgets} >= {"F4", "F5", "F7"}
    binding = [budget for budget in budgets if budget.planned.binds]
    assert binding
    assert all((budget.planned.gain_of_tenth or 0.0) > 0 for budget in binding)
    memory = {b.planned.node: b.used_share for b in budgets if b.planned.kind == "memory"}
    planned = {
        b.planned.node: b.planned.planned_share for b in budgets if b.planned.kind == "memory"
    }
    assert memory == pytest.approx(planned)


def test_a_node_without_an_answer_is_silent_and_counts_from_nothing_when_it_is_back(
    replay: Replay,
) -> None:
    gone = {node.name: node for node in replay.frame(KILLED_S + 3.0).nodes}["edge-0"]
    assert gone.health == "silent"
    assert "no answer of edge-0" in replay.frame(KILLED_S + 3.0).note
    back = {node.name: node for node in replay.frame(59.0).nodes}["edge-0"]
    assert back.health == "well"
    assert 0.0 <= back.busy_share < 2.0


def test_accuracy_is_an_estimate_where_no_label_is_known(replay: Replay) -> None:
    overall, *tasks = replay.frame(FLIP_S).accuracy
    assert overall.source == "estimate"
    assert overall.value == pytest.approx(overall.promised, abs=0.08)
    assert {row.task for row in tasks} == {"segmentation", "depth", "normals", "keypoints", "edges"}


def test_nothing_is_known_before_the_first_sample(recorded: Recorded) -> None:
    frame = Replay(recorded).frame(-1.0)
    assert all(node.health == "silent" for node in frame.nodes)
    assert frame.accuracy[0].value is None


def test_the_course_ends_where_the_moment_is(replay: Replay) -> None:
    course = replay.frame(30.0).course
    known = [value for value in course.asked_qps if value is not None]
    assert len(known) == 30
    assert course.edges_s[-1] == pytest.approx(60.0)
    assert course.changes_s == (DECIDED_S,)


def test_steps_add_up_to_what_came_between_first_and_last_sample(recorded: Recorded) -> None:
    before_kill = [sample for sample in recorded.samples if sample.at_s < KILLED_S]
    steps = steps_of(recorded.facts, before_kill)
    whole = rates_between(before_kill[0], before_kill[-1])
    assert sum(step.arrived for step in steps) == whole.arrived_count
    assert sum(sum(step.buckets) for step in steps) == sum(whole.buckets())


def test_a_counter_that_fell_is_of_a_node_that_was_started_anew() -> None:
    before = SystemSample(at_s=1.0, nodes={"c": node_of(busy_s=9.0, arrived={"depth": 50})})
    after = SystemSample(at_s=2.0, nodes={"c": node_of(busy_s=0.5, arrived={"depth": 4})})
    rates = rates_between(before, after)
    assert rates.arrived == {"c": {"depth": 4}}
    assert rates.busy_share == {"c": pytest.approx(0.5)}


def test_a_late_answer_of_a_node_does_not_make_its_rates_wrong() -> None:
    """Both samples came half a second apart, but were taken four apart, as on a crowded host."""
    before = SystemSample(at_s=9.5, nodes={"c": node_of(taken_s=105.0, arrived={"depth": 50})})
    after = SystemSample(
        at_s=10.0, nodes={"c": node_of(taken_s=109.0, busy_s=2.0, arrived={"depth": 90})}
    )
    rates = rates_between(before, after)
    assert rates.arrived_qps == {"c": pytest.approx(10.0)}
    assert rates.busy_share == {"c": pytest.approx(0.5)}
    assert rates.spent_s == pytest.approx(4.0)


def test_a_node_that_missed_a_look_is_counted_from_the_one_before(recorded: Recorded) -> None:
    names = [node.name for node in recorded.facts.topology.clients][:2]

    def sample(at_s: float, *seen: str) -> SystemSample:
        counted = {"arrived": {"depth": int(1000 + 10 * at_s)}, "taken_s": 70.0 + at_s}
        return SystemSample(at_s=at_s, nodes={name: node_of(**counted) for name in seen})

    samples = (sample(1.0, *names), sample(2.0, names[0]), sample(3.0, *names))
    steps = steps_of(recorded.facts, samples)
    assert [step.arrived for step in steps] == [10, 30]
    frame = Replay(Recorded(facts=recorded.facts, samples=samples)).frame(3.0)
    assert frame.asked_qps == pytest.approx(20.0)


def test_a_look_that_was_overtaken_is_no_restart() -> None:
    first, older, last = (
        SystemSample(at_s=at, nodes={"c": node_of(taken_s=taken, arrived={"depth": count})})
        for at, taken, count in ((1.0, 71.0, 100), (1.5, 70.0, 90), (2.0, 72.0, 110))
    )
    assert rates_between(first, older).arrived == {}
    known = carried_on(first, older)
    assert rates_between(known, last).arrived == {"c": {"depth": 10}}


def test_of_a_cloud_answer_without_a_known_edge_links_take_parts_by_their_bytes(
    recorded: Recorded,
) -> None:
    way = WayCount(
        task="depth", tier="cloud", node="cloud", model="m", answers=8,
        buckets=(8, *[0] * len(BOUNDS_S)),
    )  # fmt: skip
    client = recorded.facts.topology.clients[0].name
    edge = recorded.facts.topology.uplinks(client)[0].target
    first = SystemSample(at_s=0.0, nodes={client: node_of(links={edge: (0, 0.0)})})
    then = SystemSample(at_s=1.0, nodes={client: node_of(links={edge: (900, 0.1)}, ways=(way,))})
    shown = Replay(Recorded(facts=recorded.facts, samples=(first, then))).frame(1.0)
    flows = {link.name: link.cloud_qps for link in shown.links}
    assert flows[f"{client} to {edge}"] == pytest.approx(8.0)
    assert flows[f"{edge} to cloud"] == pytest.approx(8.0)


@pytest.mark.parametrize(("share", "least_s", "most_s"), [(0.5, 0.0, 0.002), (0.99, 0.04, 20.0)])
def test_quantiles_lie_within_their_bucket(share: float, least_s: float, most_s: float) -> None:
    buckets = [90, *[0] * 9, 10, *[0] * (len(BOUNDS_S) - 10)]
    found = quantile_s(buckets, share)
    assert found is not None
    assert least_s <= found <= most_s
    assert quantile_s([0] * len(buckets), share) is None


def test_a_live_frame_is_what_a_history_heard_last() -> None:
    from serving.watch.facts import facts_of
    from serving.watch.history import WatchHistory

    setting, clock = demo_setting(), SetClock()
    phase = demo_demand().phases[0]
    plan = demo_plan(setting, phase)
    history = WatchHistory(facts_of(setting), clock)
    nodes = MadeUpNodes(setting, plan)
    for _ in range(300):
        clock.now_s += 1.0
        nodes.pass_time(phase, 1.0)
        history.looked(nodes.snapshots_within(1.0))
    history.happened("cut link client-0 to edge-0", link="client-0 to edge-0", condition="cut")
    frame = LiveSource(history, lambda: "paused").frame()
    assert (frame.live, frame.loop, frame.at_s) == (True, "paused", 300.0)
    assert {link.name: link.condition for link in frame.links}["client-0 to edge-0"] == "cut"
    kept, steps = history.recorded()
    assert len(kept.samples) <= 181
    assert len(steps) <= 181
