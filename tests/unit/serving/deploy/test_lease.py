"""Leases: one holder at a time, none for ever, and the same ones after a restart."""

from __future__ import annotations

import pickle
import threading

import pytest

from cluster.providers.state import ClusterError
from serving.deploy.lease import Lease, LeaseTable, hold_lease, owner_of
from serving.errors import LeaseHeldError


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> LeaseTable:
    return LeaseTable(clock)


def test_the_second_owner_is_told_of_the_first(table: LeaseTable, clock: Clock) -> None:
    assert table.acquire("loop", "a", 15.0) == Lease("loop", "a", 15.0, 15.0)
    clock.now_s += 5
    assert table.acquire("loop", "b", 15.0) == Lease("loop", "a", 15.0, 10.0)
    assert table.acquire("another", "b", 15.0).owner == "b"


def test_a_lease_that_is_not_renewed_ends(table: LeaseTable, clock: Clock) -> None:
    table.acquire("loop", "a", 15.0)
    clock.now_s += 14.9
    assert table.renew("loop", "a")
    clock.now_s += 14.9
    assert table.acquire("loop", "b", 15.0).owner == "a"
    clock.now_s += 0.2
    assert table.acquire("loop", "b", 15.0).owner == "b"
    assert not table.renew("loop", "a")
    assert not table.release("loop", "a")
    assert table.holder("loop") == Lease("loop", "b", 15.0, 15.0)


def test_a_lease_that_is_given_up_is_free_at_once(table: LeaseTable) -> None:
    table.acquire("loop", "a", 15.0)
    assert table.release("loop", "a")
    assert table.acquire("loop", "b", 15.0).owner == "b"


def test_after_a_restart_every_lease_has_its_whole_time_again(
    table: LeaseTable, clock: Clock
) -> None:
    table.acquire("loop", "a", 15.0)
    table.acquire("ended", "b", 1.0)
    clock.now_s += 14
    again = LeaseTable(clock)
    again.restore(table.owners())
    assert again.holder("loop") == Lease("loop", "a", 15.0, 15.0)
    assert again.holder("ended") is None


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, float("nan")])
def test_a_lease_that_lasts_no_time_is_refused(table: LeaseTable, ttl_s: float) -> None:
    with pytest.raises(ValueError, match="must last longer than 0 s"):
        table.acquire("loop", "a", ttl_s)


def test_who_finds_a_lease_held_is_told_by_whom_and_for_how_long(table: LeaseTable) -> None:
    with (
        hold_lease(table, "loop", "testbed live (process 7)", 30.0),
        pytest.raises(LeaseHeldError, match=r"loop is held by testbed live \(process 7\).*30 s"),
        hold_lease(table, "loop", "b", 30.0),
    ):
        raise AssertionError("two hold it")
    with hold_lease(table, "loop", "b", 30.0) as held:
        assert held.lease.owner == "b"
    assert table.holder("loop") is None


class Counted(LeaseTable):
    """Counts renewals, and fails the first of them."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.renewed = threading.Semaphore(0)
        self.failures = 1

    def renew(self, name: str, owner: str) -> bool:
        self.renewed.release()
        if self.failures:
            self.failures -= 1
            raise ClusterError("no answer")
        return super().renew(name, owner)


def test_a_held_lease_is_renewed_also_after_a_renewal_that_failed(clock: Clock) -> None:
    table = Counted(clock)
    with hold_lease(table, "loop", "a", 0.06) as held:
        for _ in range(3):
            assert table.renewed.acquire(timeout=5)
        held.check()


def test_a_holder_that_was_away_for_too_long_is_told(clock: Clock) -> None:
    table = Counted(clock)
    with hold_lease(table, "loop", "a", 0.06) as held:
        clock.now_s += 1.0
        assert table.acquire("loop", "b", 60.0).owner == "b"
        held._renewing.join(5)
        with pytest.raises(LeaseHeldError, match="the loop is held by somebody else"):
            held.check()
    assert table.holder("loop") == Lease("loop", "b", 60.0, 60.0)


def test_no_two_owners_have_the_same_name() -> None:
    names = {owner_of("testbed live") for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("testbed live (process ") for name in names)


def test_the_error_arrives_whole_from_another_process() -> None:
    error = LeaseHeldError("plan-change", "testbed deploy (process 7)", 4.0)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.owner, again.left_s) == (str(error), error.owner, 4.0)
