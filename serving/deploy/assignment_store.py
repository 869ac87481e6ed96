"""What each node was last told, kept in a file outside the nodes.

A node that is started anew takes its assignment up again, and every node looks after itself by it.
The store needs no Ray; `serving.deploy.assignments` makes it an actor of the cluster. Ray imports
this module in every process that calls the store, so the record, which has plans, is imported where
it is made: with what plans import, it would take 20 MB of each node.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from serving.deploy.door_ports import DoorPorts
from serving.deploy.lease import PLAN_CHANGE, Lease, LeaseTable
from serving.errors import PlanChangeConflictError
from serving.node.links.link_condition import LinkCondition
from serving.rollout.assignment import Assignment, with_version

if TYPE_CHECKING:
    from serving.deploy.assignment_record import AssignmentRecord, PlanInForce

__all__ = ["FILE", "AssignmentStore"]

FILE = "assignments.json"
_log = logging.getLogger(__name__)


class AssignmentStore:
    """Assignments, ports and leases in `folder`; every change is on the disk before it returns.

    One process at a time may use a folder. A store that is made again in the same folder goes on
    where the last one was, with every lease at its full time. The file is read with the first
    call; while it cannot be read every call raises `DocumentError` with its name, since nodes that
    are told nothing would unload what they hold.

    A change of plan whose owner lets its lease run out, because it was killed, is ended here: the
    nodes are told what the owner left for this case, under a new version.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / FILE
        self._leases = LeaseTable(clock)
        self._lost_devices: set[str] = set()
        """taken away from their nodes; not in the file, so a store that is killed gives them back
        to the processes that start then"""

    def record(self) -> AssignmentRecord:
        """All that is kept."""
        self._end_abandoned()
        return self._record

    def assignment(self, node: str) -> Assignment | None:
        """What `node` was last told; None if it was told nothing yet."""
        return self.record().nodes.get(node)

    def claim_ports(self, node: str, ports: DoorPorts) -> None:
        """Remember where the node listens."""
        self._end_abandoned()
        self._keep(ports={**self._record.ports, node: ports})

    def ports(self, node: str) -> DoorPorts | None:
        """Where the node listened before, if it ran before."""
        return self.record().ports.get(node)

    def switch_device(self, node: str, lost: bool) -> None:
        """Remember that the device of `node` is taken away, or not any more."""
        (self._lost_devices.add if lost else self._lost_devices.discard)(node)

    def device_is_lost(self, node: str) -> bool:
        """Whether a process that starts as `node` finds its device taken away."""
        return node in self._lost_devices

    def set_link(self, source: str, target: str, condition: LinkCondition) -> None:
        """Remember what the link from `source` up to `target` is set to, also for a process that
        starts as `source` later."""
        self._end_abandoned()
        kept = {**self.link_conditions(source), target: condition}
        if condition.is_as_stated:
            del kept[target]
        self._keep(links={**self._record.links, source: kept})

    def link_conditions(self, source: str) -> dict[str, LinkCondition]:
        """What the links of `source` are set to, by target; those that are as stated are left
        out."""
        return dict(self.record().links.get(source, {}))

    def begin_change(self, owner: str, expected_version: int | None = None) -> AssignmentRecord:
        """What is in force, for the holder of the lease `PLAN_CHANGE`.

        Raises `PlanChangeConflictError` if `owner` does not hold it, or the version in force is
        not the `expected_version` on which the new plan was based.
        """
        record = self.record()
        self._refuse_others(owner)
        if expected_version not in (None, record.version):
            raise PlanChangeConflictError(
                f"plan version {record.version} is in force, and not {expected_version}, on which "
                "the new plan was based; plan again. Nothing was touched"
            )
        return record

    def assign(
        self,
        owner: str,
        assignments: Mapping[str, Assignment],
        if_abandoned: Mapping[str, Assignment] | None,
        in_force: PlanInForce | None = None,
    ) -> None:
        """Replace what the named nodes are told, in a change by `owner`; see `ChangeRecord`. With
        None the change is complete. `in_force` is the plan that all nodes follow then, or once they
        were told what is left for an abandoned change; None if that is not known.

        Raises `PlanChangeConflictError` if `owner` does not hold the lease any more.
        """
        self._end_abandoned()
        self._refuse_others(owner)
        told = [assignment.version for assignment in assignments.values()]
        version = max(self._record.version, *told, 0)
        change = None
        if if_abandoned is not None:
            from serving.deploy.assignment_record import ChangeRecord

            left = dict(if_abandoned)
            change = ChangeRecord(owner=owner, if_abandoned=left, in_force=in_force)
        self._keep(
            version=version,
            nodes={**self._record.nodes, **assignments},
            change=change,
            in_force=_as_version(in_force, version) if change is None else None,
        )

    def acquire(self, name: str, owner: str, ttl_s: float) -> Lease:
        """See `LeaseStore`."""
        self._end_abandoned()
        lease = self._leases.acquire(name, owner, ttl_s)
        self._keep_leases()
        return lease

    def renew(self, name: str, owner: str) -> bool:
        """See `LeaseStore`. Nothing is written: a lease is renewed many times and ends once."""
        self._end_abandoned()
        return self._leases.renew(name, owner)

    def release(self, name: str, owner: str) -> bool:
        """See `LeaseStore`."""
        self._end_abandoned()
        released = self._leases.release(name, owner)
        self._keep_leases()
        return released

    @cached_property
    def _record(self) -> AssignmentRecord:
        from serving.deploy.assignment_record import AssignmentRecord

        record = AssignmentRecord.load(self._path) if self._path.exists() else AssignmentRecord()
        self._leases.restore(
            {name: (lease.owner, lease.ttl_s) for name, lease in record.leases.items()}
        )
        return record

    def _refuse_others(self, owner: str) -> None:
        held = self._leases.holder(PLAN_CHANGE)
        if held is None or held.owner != owner:
            by = "nobody" if held is None else held.owner
            raise PlanChangeConflictError(
                f"this change of plan took too long to go on: the lease of {owner} ran out, and "
                f"is held by {by} now"
            )

    def _end_abandoned(self) -> None:
        change = self._record.change
        if change is None:
            return
        held = self._leases.holder(PLAN_CHANGE)
        if held is not None and held.owner == change.owner:
            return
        version = self._record.version + 1
        _log.warning(
            "%s left a change of plan unfinished; its nodes are told version %d",
            change.owner, version,
        )  # fmt: skip
        told = with_version(change.if_abandoned, version)
        self._keep(
            version=version,
            nodes={**self._record.nodes, **told},
            change=None,
            in_force=_as_version(change.in_force, version),
        )

    def _keep_leases(self) -> None:
        from serving.deploy.assignment_record import LeaseRecord

        leases = {
            name: LeaseRecord(owner=owner, ttl_s=ttl_s)
            for name, (owner, ttl_s) in self._leases.owners().items()
        }
        if leases != self._record.leases:
            self._keep(leases=leases)

    def _keep(self, **changed: object) -> None:
        """Write first: what cannot be written was not told."""
        record = self._record.model_copy(update=changed)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        record.save(self._path, mode=0o600, durable=True)
        self._record = record


def _as_version(in_force: PlanInForce | None, version: int) -> PlanInForce | None:
    if in_force is None:
        return None
    plan = in_force.plan.model_copy(update={"version": version})
    return in_force.model_copy(update={"plan": plan})
