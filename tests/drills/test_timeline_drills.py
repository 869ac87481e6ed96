"""Drills of a timeline's faults that no signal brings about: a lost device, a half-open connection,
a clock that jumps, a controller that dies. Real cluster, real processes, traffic beside.

After each all queries are accounted for, none ended in a fault, and the nodes hold what the plan in
force says. DRILLS_SEED has no part here: the events come at stated times.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from drill_cluster import CLIENTS, DrillCluster, Worker, drill_cluster
from drill_traffic import Traffic

from cluster.providers.state import find_cluster, state_path
from cluster.timeline import TimelineEvent
from serving.errors import RefusalReason
from serving.node.device.device_watch import DeviceHealth
from serving.node.snapshot import NodeSnapshot
from serving.replan.loop_state import loop_process
from serving.traffic.local_faults import timeline_beside

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray is imported here, which warns of itself
]

WITHIN_S = 90.0
"""the nodes hold again what the plan in force says, as in `test_drills`"""
HOUR_S = 3600.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrillCluster]:
    with drill_cluster(tmp_path_factory.mktemp("timeline")) as found:
        yield found


@contextmanager
def happening(cluster: DrillCluster, *events: dict[str, Any]) -> Iterator[None]:
    """The events come about beside the block, and what they left is mended at its end."""
    state = find_cluster()
    assert state is not None
    timeline = [TimelineEvent.model_validate(event) for event in events]
    beside = timeline_beside(
        timeline, state, cluster.fleet, lambda: loop_process(state_path().parent)
    )
    assert beside is not None
    ended = threading.Event()
    faults: list[BaseException] = []

    async def run() -> None:
        running = asyncio.ensure_future(beside())
        await asyncio.to_thread(ended.wait)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    def run_and_keep() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread
            faults.append(error)

    thread = threading.Thread(target=run_and_keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(WITHIN_S)
    assert faults == []
    assert not thread.is_alive()


@contextmanager
def under_traffic(cluster: DrillCluster, gone: str = "") -> Iterator[Traffic]:
    """Queries to both clients. All are accounted for, and only callers of a client that was `gone`
    for a while may have found nobody."""
    assert cluster.wait_until_settled(WITHIN_S) == []
    traffic = Traffic(cluster.fleet.urls(), (cluster.folder / "picture.png").read_bytes())
    try:
        yield traffic
        assert cluster.wait_until_settled(WITHIN_S) == []
        time.sleep(1.0)
    finally:
        traffic.finish()
    assert sum(traffic.outcomes.values()) == traffic.sent
    faults = {
        key: count
        for key, count in traffic.outcomes.items()
        if key[1] not in ("answered", "refused") and key != (gone, "unreachable")
    }
    assert faults == {}
    said = Counter[str]()
    for (_, word), count in traffic.outcomes.items():
        said[word] += count
    print(f"\n{dict(said)}", flush=True)


def answered(traffic: Traffic, client: str) -> int:
    return traffic.outcomes[client, "answered"]


def seen(cluster: DrillCluster, node: str) -> NodeSnapshot | None:
    """What the node shows, unless it gives no answer now."""
    return cluster.fleet.snapshots_within(3.0).get(node)


def wait_for(what: str, condition: Callable[[], bool], within_s: float) -> float:
    """The seconds until `condition` holds. Fails after `within_s`."""
    begun_s = time.monotonic()
    while not condition():
        spent_s = time.monotonic() - begun_s
        assert spent_s < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - begun_s


def is_replaced(cluster: DrillCluster, kind: str, before: int) -> bool:
    """Whether another process of that kind runs than the one of `before`."""
    try:
        return cluster.pid(kind) != before
    except LookupError:  # the next one is not there yet
        return False


def device_is(cluster: DrillCluster, node: str, health: DeviceHealth) -> bool:
    shown = seen(cluster, node)
    return shown is not None and shown.device is health


def refusals(cluster: DrillCluster) -> Counter[RefusalReason]:
    """Of all clients, since their processes began."""
    found = Counter[RefusalReason]()
    for client in CLIENTS:
        shown = seen(cluster, client)
        assert shown is not None
        found.update(shown.refused)
    return found


@pytest.mark.parametrize("node", ["edge-0", "cloud", CLIENTS[0]])
def test_a_node_whose_device_is_lost_is_gone_round_and_serves_again_once_it_is_back(
    cluster: DrillCluster, node: str
) -> None:
    before = cluster.pid(node)
    with under_traffic(cluster, gone=node) as traffic, happening(
        cluster, {"at_s": 1.0, "lose_device": node}
    ):  # fmt: skip
        lost_s = wait_for(
            "the loss is noticed", lambda: device_is(cluster, node, DeviceHealth.LOST), 15.0
        )
        begun = sum(answered(traffic, client) for client in CLIENTS)
        time.sleep(3.0)
        assert sum(answered(traffic, client) for client in CLIENTS) > begun
        # A process that had the device cannot use it again, so Serve replaces it; the new one
        # does not find the device, says so, and holds no model.
        replaced_s = wait_for(
            "Serve replaces the process",
            lambda: (
                is_replaced(cluster, node, before) and device_is(cluster, node, DeviceHealth.LOST)
            ),
            60.0,
        )
        shown = seen(cluster, node)
        assert shown is not None
        assert (shown.models, dict(shown.served)) == ((), {})
        cluster.fleet.switch_device(node, False)
        back_s = wait_for(
            "it serves again",
            lambda: (shown := seen(cluster, node)) is not None and sum(shown.served.values()) > 0,
            30.0,
        )
        assert device_is(cluster, node, DeviceHealth.WELL)
    print(f"{node}: noticed {lost_s:.1f} s, replaced {replaced_s:.1f} s, back {back_s:.1f} s")


def test_a_half_open_connection_is_given_up_and_the_link_is_used_again(
    cluster: DrillCluster,
) -> None:
    client = CLIENTS[0]

    def sent_bytes() -> int:
        shown = seen(cluster, client)
        assert shown is not None
        return shown.sent_bytes

    with under_traffic(cluster) as traffic:
        other = CLIENTS[1]
        with happening(
            cluster,
            {"at_s": 0.5, "silence_link": [client, "edge-0"]},
            {"at_s": 12.5, "restore_link": [client, "edge-0"]},
        ):
            time.sleep(6.0)  # beyond three seconds of silence
            quiet = [sent_bytes(), answered(traffic, client), answered(traffic, other)]
            time.sleep(4.0)
            later = [sent_bytes(), answered(traffic, client), answered(traffic, other)]
            assert later[0] == quiet[0]  # nothing is sent into the silence
            assert later[1] > quiet[1]  # the client answers by itself what it can
            assert later[2] > quiet[2]
            time.sleep(2.0)
            again_s = wait_for("the link is used", lambda: sent_bytes() > later[0], 20.0)
    texts = [
        line.text for line in cluster.fleet.log_lines({client: {}})[client].lines
    ]  # fmt: skip
    assert any("no sign of life for 3 s" in text for text in texts)
    print(f"used again {again_s:.1f} s after it carried")


def test_clocks_that_jump_cost_no_query_no_lease_and_no_line_of_a_log(
    cluster: DrillCluster,
) -> None:
    nodes = (*CLIENTS, "edge-0", "cloud")
    read = {name: page.read for name, page in cluster.fleet.log_lines(
        {name: {} for name in nodes}
    ).items()}  # fmt: skip
    pids = {name: cluster.pid(name) for name in nodes}
    with under_traffic(cluster) as traffic:
        time.sleep(2.0)
        calm = refusals(cluster)
        events = [
            {"at_s": 0.5 + index, "jump_clock": {"node": name, "by_s": by_s}}
            for index, (name, by_s) in enumerate(
                zip(nodes, (HOUR_S, -HOUR_S, 24 * HOUR_S, -24 * HOUR_S), strict=True)
            )
        ]
        with happening(cluster, *events):
            time.sleep(6.0)
            cluster.put_in_force("two")  # holds a lease for the time of the change
            cluster.put_in_force("one")
            time.sleep(2.0)
        jumped = refusals(cluster) - calm
        assert answered(traffic, CLIENTS[0]) > 20
        # What the plans shed on purpose, and what they have no model for, is refused as ever.
        assert set(jumped) <= {RefusalReason.SHED, RefusalReason.NOT_SERVED}
    assert {name: cluster.pid(name) for name in nodes} == pids
    pages = cluster.fleet.log_lines(read)
    for name, by_s in zip(nodes, (HOUR_S, -HOUR_S, 24 * HOUR_S, -24 * HOUR_S), strict=True):
        lines = pages[name].lines
        at_s = {line.text: line.at_s for line in lines}
        there_s = at_s[f"the wall clock is set, to {by_s:+g} s of the host's"]
        back_s = at_s["the wall clock is set, to +0 s of the host's"]  # told by the one that jumped
        assert abs(back_s - there_s - by_s) < 300.0, name


@pytest.mark.parametrize("controller", ["serve", "store"])
def test_a_controller_that_dies_is_replaced_and_no_query_notices(
    cluster: DrillCluster, controller: str
) -> None:
    kind = {"serve": "controller", "store": "store"}[controller]
    before = cluster.pid(kind)

    with under_traffic(cluster):
        calm = refusals(cluster)
        with happening(cluster, {"at_s": 0.5, "kill_controller": controller}):
            time.sleep(0.6)
            away_s = wait_for("another one runs", lambda: is_replaced(cluster, kind, before), 30.0)
            time.sleep(3.0)
            assert set(refusals(cluster) - calm) <= {RefusalReason.SHED, RefusalReason.NOT_SERVED}
        cluster.put_in_force("two" if cluster.in_force() == "one" else "one")
    print(f"{controller}: another one after {away_s:.1f} s")


def test_the_live_loop_that_dies_leaves_the_plan_in_force_and_no_query_notices(
    cluster: DrillCluster,
) -> None:
    assert cluster.wait_until_settled(WITHIN_S) == []
    present = cluster.in_force()
    plan = cluster.folder / "live.json"
    plan.write_text((cluster.folder / f"{present}.json").read_text())
    with under_traffic(cluster):
        loop = Worker(
            "-m", "testbed", "live", "--profiles", str(cluster.folder / "profiles.json"),
            "--plan", str(plan), "--period", "1",
        )  # fmt: skip
        try:
            wait_for("the loop runs", lambda: bool(loop_process(state_path().parent)), 60.0)
            with happening(cluster, {"at_s": 0.5, "kill_controller": "loop"}):
                assert loop.process.wait(30) == -signal.SIGKILL
            assert loop_process(state_path().parent) is None
        finally:
            loop.kill()
