"""The cluster's store of assignments: an actor around `AssignmentStore`, and its client.

The actor outlives drivers, and Ray starts it anew whenever it ends; what it was told stands in a
file by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from cluster.providers.ray_names import ASSIGNMENTS, NAMESPACE
from cluster.providers.ray_private import HEAD_RESOURCE
from cluster.providers.state import ClusterError
from serving.deploy.assignment_store import AssignmentStore
from serving.deploy.door_ports import DoorPorts
from serving.deploy.lease import Lease
from serving.node.links.link_condition import LinkCondition
from serving.rollout.assignment import Assignment

if TYPE_CHECKING:
    from serving.deploy.assignment_record import AssignmentRecord, PlanInForce

__all__ = ["AssignmentsClient", "find_assignments", "open_assignments"]

ANSWER_TIMEOUT_S = 15.0
"""for a call, the actor's restart included"""


class AssignmentsClient:
    """`AssignmentStore` from any process of the cluster, and thereby its `LeaseStore`.

    Its methods wait, so they are not to be called on an event loop. Each raises what the store
    raises, and `ClusterError` if it gives no answer within `ANSWER_TIMEOUT_S`.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def record(self) -> AssignmentRecord:
        """See `AssignmentStore.record`."""
        return cast("AssignmentRecord", _answer(self._actor.record.remote()))

    def assignment(self, node: str) -> Assignment | None:
        """See `AssignmentStore.assignment`."""
        return cast(Assignment | None, _answer(self._actor.assignment.remote(node)))

    def claim_ports(self, node: str, ports: DoorPorts) -> None:
        """See `AssignmentStore.claim_ports`."""
        _answer(self._actor.claim_ports.remote(node, ports))

    def ports(self, node: str) -> DoorPorts | None:
        """See `AssignmentStore.ports`."""
        return cast(DoorPorts | None, _answer(self._actor.ports.remote(node)))

    def switch_device(self, node: str, lost: bool) -> None:
        """See `AssignmentStore.switch_device`."""
        _answer(self._actor.switch_device.remote(node, lost))

    def device_is_lost(self, node: str) -> bool:
        """See `AssignmentStore.device_is_lost`."""
        return cast(bool, _answer(self._actor.device_is_lost.remote(node)))

    def set_link(self, source: str, target: str, condition: LinkCondition) -> None:
        """See `AssignmentStore.set_link`."""
        _answer(self._actor.set_link.remote(source, target, condition))

    def link_conditions(self, source: str) -> dict[str, LinkCondition]:
        """See `AssignmentStore.link_conditions`."""
        calling = self._actor.link_conditions.remote(source)
        return cast(dict[str, LinkCondition], _answer(calling))

    def begin_change(self, owner: str, expected_version: int | None = None) -> AssignmentRecord:
        """See `AssignmentStore.begin_change`."""
        calling = self._actor.begin_change.remote(owner, expected_version)
        return cast("AssignmentRecord", _answer(calling))

    def assign(
        self,
        owner: str,
        assignments: Mapping[str, Assignment],
        if_abandoned: Mapping[str, Assignment] | None,
        in_force: PlanInForce | None = None,
    ) -> None:
        """See `AssignmentStore.assign`."""
        _answer(self._actor.assign.remote(owner, assignments, if_abandoned, in_force))

    def acquire(self, name: str, owner: str, ttl_s: float) -> Lease:
        """See `LeaseStore`."""
        return cast(Lease, _answer(self._actor.acquire.remote(name, owner, ttl_s)))

    def renew(self, name: str, owner: str) -> bool:
        """See `LeaseStore`."""
        return cast(bool, _answer(self._actor.renew.remote(name, owner)))

    def release(self, name: str, owner: str) -> bool:
        """See `LeaseStore`."""
        return cast(bool, _answer(self._actor.release.remote(name, owner)))


def open_assignments(folder: Path) -> AssignmentsClient:
    """The cluster's store of assignments, which is started if there is none; its file is in
    `folder`, an absolute path, on the host of Ray's head: no other node is there for as long."""
    actor = ray.remote(num_cpus=0, resources={HEAD_RESOURCE: 0.001})(AssignmentStore)
    return AssignmentsClient(
        actor.options(
            name=ASSIGNMENTS,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,  # each of its methods may be called twice
        ).remote(folder)
    )


def find_assignments() -> AssignmentsClient:
    """The running store. Raises `ClusterError` if there is none."""
    try:
        return AssignmentsClient(ray.get_actor(ASSIGNMENTS, namespace=NAMESPACE))
    except ValueError:
        raise ClusterError(
            "the cluster has no store of assignments; run `testbed deploy` first"
        ) from None


def _answer(calling: Any) -> Any:
    try:
        return ray.get(calling, timeout=ANSWER_TIMEOUT_S)
    except GetTimeoutError:
        raise ClusterError(
            f"the store of assignments gave no answer within {ANSWER_TIMEOUT_S:g} s"
        ) from None
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    except RayActorError as error:
        raise ClusterError(
            f"the store of assignments is gone: {' '.join(str(error).split())[:300]}"
        ) from None
