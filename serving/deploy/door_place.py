"""Where the doors of a fleet listen, by what was asked for and by the network under the nodes."""

from __future__ import annotations

import secrets
from dataclasses import replace

from cluster.addresses import is_loopback, is_wildcard
from cluster.errors import InputError
from cluster.wiring import Wiring
from serving.ingress.access import DoorConfig

__all__ = ["door_for"]


def door_for(wiring: Wiring, asked: DoorConfig) -> DoorConfig:
    """The doors of every client node.

    A door that was not asked to listen elsewhere listens at its node's own address; where others
    than this machine reach that, and no token was named, one is made, which drivers of the cluster
    read from the node. Raises `InputError` for an address that nodes on hosts of their own cannot
    all have.
    """
    if not wiring.hosts:
        return asked
    if not (is_loopback(asked.host) or is_wildcard(asked.host)):
        raise InputError(
            f"--listen {asked.host}: each node of this cluster has an address of its own, and "
            "listens there; leave --listen out, or name 0.0.0.0 for all of its addresses"
        )
    if wiring.private or asked.token is not None:
        return asked
    return replace(asked, token=secrets.token_urlsafe(24))
