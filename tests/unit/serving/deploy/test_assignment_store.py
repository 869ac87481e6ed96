"""The store of assignments: on the disk before a call returns, one change at a time."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.document import DocumentError
from planner.plan import Plan
from serving.deploy.assignment_record import PlanInForce
from serving.deploy.assignment_store import FILE, AssignmentStore
from serving.deploy.door_ports import DoorPorts
from serving.deploy.lease import PLAN_CHANGE, Lease
from serving.errors import PlanChangeConflictError
from serving.node.links.link_condition import LinkCondition
from serving.rollout.assignment import Assignment
from serving.routing.routes import RouteTable, RoutingMode, Target

EDGE, CLOUD = Target("edge", "edge", "m1"), Target("cloud", "cloud", "m2", "edge")
TABLE = RouteTable(
    3,
    {"depth": ((EDGE, 0.75), (CLOUD, 0.25))},
    routing=RoutingMode.PENALTY,
    accuracy={"m1": {"depth": 0.8}, "m2": {"depth": 0.9}},
)
TOLD = {"client": Assignment(3, (), TABLE), "edge": Assignment(3, ("m1",))}
OLDER = {"client": Assignment(2, (), RouteTable(2, {})), "edge": Assignment(2, ("m0",))}
BETWEEN = {"client": Assignment(3, (), TABLE), "edge": Assignment(3, ("m0", "m1"))}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> AssignmentStore:
    return AssignmentStore(tmp_path, clock)


def tell(store: AssignmentStore, told: dict[str, Assignment], owner: str = "a") -> None:
    """A whole change."""
    store.acquire(PLAN_CHANGE, owner, 15.0)
    store.assign(owner, told, None)
    store.release(PLAN_CHANGE, owner)


def test_what_was_told_is_there_after_a_restart(
    store: AssignmentStore, tmp_path: Path, clock: Clock
) -> None:
    tell(store, TOLD)
    store.claim_ports("client", DoorPorts(8001, 9001))
    store.acquire("live-loop", "b", 20.0)
    again = AssignmentStore(tmp_path, clock)
    assert {name: again.assignment(name) for name in TOLD} == TOLD
    assert again.record().version == 3
    assert again.ports("client") == DoorPorts(8001, 9001)
    assert again.acquire("live-loop", "c", 20.0) == Lease("live-loop", "b", 20.0, 20.0)
    assert again.assignment("cloud") is None
    assert again.ports("cloud") is None


def test_it_is_on_the_disk_before_the_call_returns_and_for_this_user_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "control"
    store = AssignmentStore(folder)
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        done.append("sync")
        sync(descriptor)

    def note_rename(path: Path, target: Path) -> Path:
        done.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_rename)
    store.claim_ports("edge", DoorPorts(7000))
    assert done == ["sync", "rename", "sync"]
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert json.loads((folder / FILE).read_text())["ports"]["edge"]["http"] == 7000
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_what_cannot_be_written_was_not_told(
    store: AssignmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(store, OLDER)
    store.acquire(PLAN_CHANGE, "a", 15.0)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.assign("a", TOLD, None)
    assert store.assignment("edge") == OLDER["edge"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": -1}', '{"nodes": {"a": 3}}'])
def test_a_file_that_cannot_be_read_is_refused_with_its_name_by_every_call(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / FILE).write_text(content)
    store = AssignmentStore(tmp_path)
    for call in (
        lambda: store.assignment("edge"),
        lambda: store.ports("edge"),
        lambda: store.claim_ports("edge", DoorPorts(1)),
        lambda: store.acquire(PLAN_CHANGE, "a", 1.0),
        lambda: store.renew(PLAN_CHANGE, "a"),
    ):
        with pytest.raises(DocumentError, match=str(tmp_path / FILE)):
            call()
    assert (tmp_path / FILE).read_text() == content


def test_only_the_holder_of_the_lease_may_change_what_nodes_are_told(
    store: AssignmentStore, clock: Clock
) -> None:
    with pytest.raises(PlanChangeConflictError, match="held by nobody"):
        store.assign("a", TOLD, None)
    store.acquire(PLAN_CHANGE, "a", 15.0)
    with pytest.raises(PlanChangeConflictError, match="held by a now"):
        store.begin_change("b")
    store.assign("a", TOLD, None)
    clock.now_s += 16
    assert store.acquire(PLAN_CHANGE, "b", 15.0).owner == "b"
    with pytest.raises(PlanChangeConflictError, match="the lease of a ran out, and is held by b"):
        store.assign("a", OLDER, None)
    assert store.assignment("edge") == TOLD["edge"]


def test_a_plan_that_was_based_on_another_version_is_refused(store: AssignmentStore) -> None:
    tell(store, TOLD)
    store.acquire(PLAN_CHANGE, "b", 15.0)
    with pytest.raises(PlanChangeConflictError, match="version 3 is in force, and not 2"):
        store.begin_change("b", expected_version=2)
    assert store.begin_change("b", expected_version=3).nodes == TOLD
    assert store.begin_change("b").version == 3


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("ahead", [OLDER, TOLD], ids=["goes back", "goes on"])
def test_a_change_whose_owner_was_killed_is_ended_when_its_lease_has_run_out(
    store: AssignmentStore,
    tmp_path: Path,
    clock: Clock,
    ahead: dict[str, Assignment],
    restarted: bool,
) -> None:
    tell(store, OLDER)
    store.acquire(PLAN_CHANGE, "a", 15.0)
    store.assign("a", BETWEEN, ahead)
    if restarted:
        store = AssignmentStore(tmp_path, clock)
    assert store.assignment("edge") == BETWEEN["edge"]
    clock.now_s += 14.9
    assert store.assignment("edge") == BETWEEN["edge"]
    clock.now_s += 0.2
    assert store.assignment("edge") == Assignment(4, ahead["edge"].models)
    table = ahead["client"].table
    assert table is not None
    assert store.assignment("client") == Assignment(4, (), replace(table, version=4))
    assert store.record().change is None
    assert AssignmentStore(tmp_path, clock).assignment("edge") == Assignment(
        4, ahead["edge"].models
    )


def test_a_change_that_was_left_is_ended_as_soon_as_its_lease_is_given_up(
    store: AssignmentStore,
) -> None:
    store.acquire(PLAN_CHANGE, "a", 15.0)
    store.assign("a", BETWEEN, OLDER)
    store.release(PLAN_CHANGE, "a")
    assert store.assignment("edge") == Assignment(4, ("m0",))


def test_a_change_goes_on_while_its_lease_is_renewed(store: AssignmentStore, clock: Clock) -> None:
    store.acquire(PLAN_CHANGE, "a", 15.0)
    store.assign("a", BETWEEN, OLDER)
    for _ in range(5):
        clock.now_s += 10
        assert store.renew(PLAN_CHANGE, "a")
    store.assign("a", TOLD, None)
    assert store.assignment("edge") == TOLD["edge"]


def test_calls_may_be_made_twice(store: AssignmentStore) -> None:
    """Ray repeats a call whose answer was lost with the store's process."""
    for _ in range(2):
        assert store.acquire(PLAN_CHANGE, "a", 15.0).owner == "a"
    for _ in range(2):
        store.assign("a", TOLD, None)
    for _ in range(2):
        store.release(PLAN_CHANGE, "a")
    assert store.record().version == 3


def test_conflicts_arrive_whole_from_the_stores_process() -> None:
    error = PlanChangeConflictError("another change came first")
    assert str(pickle.loads(pickle.dumps(error))) == "another change came first"


def test_a_device_that_is_taken_away_is_lost_to_every_process_that_starts_until_it_is_back(
    store: AssignmentStore,
) -> None:
    store.switch_device("edge", True)
    store.switch_device("edge", True)
    assert [store.device_is_lost(node) for node in ("edge", "cloud")] == [True, False]
    store.switch_device("edge", False)
    store.switch_device("edge", False)
    assert not store.device_is_lost("edge")


def in_force(policy: str, version: int) -> PlanInForce:
    plan = Plan(version=version, problem_digest="0", policy=policy, onloading={}, routes=())
    return PlanInForce(plan=plan, routing=RoutingMode.PENALTY)


def test_the_plan_in_force_is_kept_and_is_none_while_it_changes(
    store: AssignmentStore, tmp_path: Path, clock: Clock
) -> None:
    assert store.record().in_force is None
    store.acquire(PLAN_CHANGE, "a", 15.0)
    store.assign("a", BETWEEN, OLDER, None)
    assert store.record().in_force is None
    store.assign("a", TOLD, None, in_force("baj3o", 1))
    store.release(PLAN_CHANGE, "a")
    kept = AssignmentStore(tmp_path, clock).record().in_force
    assert kept == in_force("baj3o", 3)  # the version that the nodes were told
    assert kept.plan.digest == in_force("baj3o", 7).plan.digest
    store.acquire(PLAN_CHANGE, "b", 15.0)
    store.assign("b", BETWEEN, TOLD, kept)
    assert store.record().in_force is None


@pytest.mark.parametrize("policy", ["before", "new"])
def test_after_a_change_whose_process_was_killed_the_plan_that_it_left_is_in_force(
    store: AssignmentStore, clock: Clock, policy: str
) -> None:
    tell(store, OLDER)
    store.acquire(PLAN_CHANGE, "a", 15.0)
    store.assign("a", BETWEEN, OLDER if policy == "before" else TOLD, in_force(policy, 2))
    clock.now_s += 16.0
    assert store.record().in_force == in_force(policy, 4)


def test_what_a_link_is_set_to_outlives_node_and_store_until_it_is_restored(
    store: AssignmentStore, tmp_path: Path, clock: Clock
) -> None:
    slow, cut = LinkCondition(bytes_per_s=1e5, rtt_s=0.02), LinkCondition(share=0.0)
    store.set_link("client", "edge", slow)
    store.set_link("client", "other", cut)
    again = AssignmentStore(tmp_path, clock)
    assert again.link_conditions("client") == {"edge": slow, "other": cut}
    assert again.link_conditions("edge") == {}
    again.set_link("client", "edge", LinkCondition())
    again.set_link("edge", "cloud", LinkCondition())
    assert AssignmentStore(tmp_path, clock).link_conditions("client") == {"other": cut}
