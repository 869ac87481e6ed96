"""Leases: one holder of a name at a time, and none for ever.

Who changes a plan holds the lease of that name. It is renewed while its holder lives. A holder that
was killed renews no more, so after `ttl_s` the name is free again.

    with hold_lease(store, PLAN_CHANGE, owner_of("testbed deploy"), CHANGE_TTL_S) as held:
        while True:
            held.check()    # raises LeaseHeldError once it was lost: stopped for longer than ttl_s
            ...

`store` is the client of the cluster's store of assignments (`serving.deploy.assignments`), or in
tests a `LeaseTable` itself.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from cluster.providers.state import ClusterError
from serving.errors import LeaseHeldError

__all__ = [
    "CHANGE_TTL_S", "PLAN_CHANGE", "HeldLease", "Lease", "LeaseStore", "LeaseTable",
    "hold_lease", "owner_of",
]  # fmt: skip

PLAN_CHANGE = "plan-change"
"""held by whoever puts a plan in force, from its first look at the nodes to its last call"""
CHANGE_TTL_S = 15.0
"""after which a change of plan whose process was killed is ended by the store of assignments"""
RENEWALS = 3
"""within the time that a lease lasts, so that one or two may be late"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lease:
    """Who holds a name, and for how long unless it is renewed."""

    name: str
    owner: str
    ttl_s: float
    left_s: float


class LeaseStore(Protocol):
    """Where leases are kept."""

    def acquire(self, name: str, owner: str, ttl_s: float) -> Lease:
        """The lease of `name` as it is now: `owner`'s if nobody else held it, else the other's.

        Asking again as the same owner renews it.
        """
        ...

    def renew(self, name: str, owner: str) -> bool:
        """Whether `owner` still holds `name`, for another `ttl_s` from now."""
        ...

    def release(self, name: str, owner: str) -> bool:
        """Give `name` up; False if `owner` did not hold it."""
        ...


class LeaseTable:
    """`LeaseStore` in memory. `clock` gives seconds that only ever rise.

    `owners` gives what has to be kept over a restart; `restore` takes it back, each lease for its
    whole `ttl_s` again: how long the table was away is not known, and who holds one may not have
    noticed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, tuple[str, float, float]] = {}
        """name -> owner, ttl_s, when it ends"""

    def acquire(self, name: str, owner: str, ttl_s: float) -> Lease:
        """See `LeaseStore`. Raises `ValueError` unless `ttl_s` is positive."""
        if not ttl_s > 0:
            raise ValueError(f"a lease must last longer than 0 s, got {ttl_s:g}")
        held = self.holder(name)
        if held is not None and held.owner != owner:
            return held
        self._held[name] = owner, ttl_s, self._clock() + ttl_s
        return Lease(name, owner, ttl_s, ttl_s)

    def renew(self, name: str, owner: str) -> bool:
        """See `LeaseStore`."""
        held = self.holder(name)
        if held is None or held.owner != owner:
            return False
        self.acquire(name, owner, held.ttl_s)
        return True

    def release(self, name: str, owner: str) -> bool:
        """See `LeaseStore`."""
        held = self.holder(name)
        if held is None or held.owner != owner:
            return False
        del self._held[name]
        return True

    def holder(self, name: str) -> Lease | None:
        """The lease of `name`, unless nobody holds it or it has ended."""
        if name not in self._held:
            return None
        owner, ttl_s, ends_s = self._held[name]
        left_s = ends_s - self._clock()
        return Lease(name, owner, ttl_s, left_s) if left_s > 0 else None

    def owners(self) -> dict[str, tuple[str, float]]:
        """name -> (owner, ttl_s) of every lease that has not ended."""
        leases = (self.holder(name) for name in self._held)
        return {lease.name: (lease.owner, lease.ttl_s) for lease in leases if lease is not None}

    def restore(self, owners: Mapping[str, tuple[str, float]]) -> None:
        """Take leases back after a restart."""
        for name, (owner, ttl_s) in owners.items():
            self.acquire(name, owner, ttl_s)


class HeldLease:
    """A lease that this process holds and renews in a thread of its own, until `close`."""

    def __init__(self, store: LeaseStore, lease: Lease) -> None:
        self.lease = lease
        self._store = store
        self._lost = False
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()

    def check(self) -> None:
        """Raise `LeaseHeldError` if the lease was lost."""
        if self._lost:
            raise LeaseHeldError(self.lease.name, "somebody else, since this process was away", 0.0)

    def close(self) -> None:
        """Renew no more and give the lease up. A store that gives no answer lets it run out."""
        self._ended.set()
        self._renewing.join()
        with suppress(ClusterError, OSError):  # it is over, whatever becomes of the lease
            self._store.release(self.lease.name, self.lease.owner)

    def _renew(self) -> None:
        while not self._ended.wait(self.lease.ttl_s / RENEWALS):
            try:
                renewed = self._store.renew(self.lease.name, self.lease.owner)
            except (ClusterError, OSError) as error:
                _log.warning("the lease %s was not renewed: %s", self.lease.name, error)
                continue
            if not renewed:
                self._lost = True
                _log.error("the lease %s was lost: it was not renewed in time", self.lease.name)
                return


@contextmanager
def hold_lease(store: LeaseStore, name: str, owner: str, ttl_s: float) -> Iterator[HeldLease]:
    """Hold the lease of `name` within the block. Raises `LeaseHeldError` if another owner does."""
    lease = store.acquire(name, owner, ttl_s)
    if lease.owner != owner:
        raise LeaseHeldError(name, lease.owner, lease.left_s)
    held = HeldLease(store, lease)
    try:
        yield held
    finally:
        held.close()


def owner_of(what: str) -> str:
    """A holder's name, for people and unlike any other: `testbed live (process 4711, 3f2ab81c)`.

    `what` says what it is doing.
    """
    return f"{what} (process {os.getpid()}, {secrets.token_hex(4)})"
