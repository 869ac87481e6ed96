"""What a run took of nodes, links and the machine: differences, whatever restarted meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serving.node.snapshot import LinkUse, NodeSnapshot
from serving.traffic.run_use import HostTimes, host_use, read_host_times, use_between


def snapshot(busy_s: float, sent_bytes: int, link_s: float, **changes: object) -> NodeSnapshot:
    seen = NodeSnapshot(
        node="client-0", taken_s=0.0, busy_s=busy_s, batches=10, sent_bytes=sent_bytes, models=(),
        plan_version=1, arrived={}, served={}, refused={}, loads_s={},
        links={"edge-0": LinkUse(sent_bytes, link_s)},
    )  # fmt: skip
    return replace(seen, **changes)  # type: ignore[arg-type]


def test_a_run_takes_what_was_counted_meanwhile() -> None:
    before = {"client-0": snapshot(1.0, 500, 0.5)}
    use = use_between(before, {"client-0": snapshot(3.5, 2500, 1.5)})
    assert use.busy_s == {"client-0": 2.5}
    assert use.link_bytes == {"client-0 to edge-0": 2000}
    assert use.link_busy_s == {"client-0 to edge-0": 1.0}
    assert use.batches == {} == use.late_batches


def test_a_node_that_was_restarted_counts_from_its_start() -> None:
    before = {"client-0": snapshot(9.0, 9000, 9.0)}
    use = use_between(before, {"client-0": snapshot(2.0, 700, 0.25)})
    assert use.busy_s == {"client-0": 2.0}
    assert use.link_bytes == {"client-0 to edge-0": 700}
    assert use_between({}, {"client-0": snapshot(2.0, 700, 0.25)}) == use


def test_late_batches_are_those_of_emulated_devices() -> None:
    before = {"client-0": snapshot(1.0, 0, 0.0, emulated="abc", batches=5, late_batches=1)}
    after = {"client-0": snapshot(2.0, 0, 0.0, emulated="abc", batches=25, late_batches=3)}
    use = use_between(before, after)
    assert (use.batches, use.late_batches) == ({"client-0": 20}, {"client-0": 2})


def test_the_machine_was_busy_and_robbed_for_shares_of_its_time() -> None:
    found = host_use(HostTimes(10.0, 1.0, 100.0), HostTimes(40.0, 3.0, 140.0))
    assert found is not None
    assert found.busy_share == pytest.approx(0.75)
    assert found.stolen_share == pytest.approx(0.05)
    assert host_use(HostTimes(10.0, 1.0, 100.0), HostTimes(10.0, 1.0, 100.0)) is None


def test_this_machine_tells_its_times() -> None:
    before = read_host_times()
    sum(range(200_000))
    after = read_host_times()
    assert after.total_s >= before.total_s > 0
    assert after.busy_s >= before.busy_s
