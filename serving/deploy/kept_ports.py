"""A node listens where it listened before its process was started anew, or elsewhere if it must."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from serving.deploy.door_ports import DoorPorts
from serving.logs.logger import NodeLogger

__all__ = ["open_at"]

D = TypeVar("D")
_log = logging.getLogger(__name__)


async def open_at(
    former: DoorPorts | None, open_doors: Callable[[DoorPorts], Awaitable[D]], node: str
) -> D:
    """What `open_doors` gives for the `former` ports, or for free ones in place of those that are
    taken; a port of 0 stands for a free one.

    A port may be taken by a process of the node that hangs and was replaced, or by anybody else.
    Raises `OSError` if free ports do not help either.
    """
    if former is None:
        return await open_doors(DoorPorts(0))
    tries, taken = [former], OSError()
    if former.grpc:
        tries += [DoorPorts(former.http), DoorPorts(0, former.grpc)]
    for ports in tries:
        try:
            opened = await open_doors(ports)
        except OSError as error:
            taken = error
            continue
        if ports != former:
            _warn(node, former, taken)
        return opened
    opened = await open_doors(DoorPorts(0))
    _warn(node, former, taken)
    return opened


def _warn(node: str, former: DoorPorts, error: OSError) -> None:
    NodeLogger(_log, node).warning(
        "a port that the node had before is taken (HTTP %d, gRPC %d: %s); it takes a free one, "
        "and callers have to read its endpoint again",
        former.http, former.grpc, error.strerror or error,
    )  # fmt: skip
