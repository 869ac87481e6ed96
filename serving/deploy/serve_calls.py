"""Calls of Ray Serve's controller, each with a limit of time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ray import serve

from cluster.providers.ray_names import application_of
from cluster.providers.time_limit import within
from cluster.topology import Topology

__all__ = ["ask_serve", "delete_applications", "end_applications", "quieten_serve"]

A = TypeVar("A")
ATTACH_LIMIT_S = 30.0
_log = logging.getLogger(__name__)


def quieten_serve() -> None:
    """Serve narrates on the driver's stderr, at a level that it sets when it is imported: have it
    say no more than warnings."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)


def ask_serve(call: Callable[[], A]) -> A:
    """What Serve's controller answers. Raises `ClusterError` where it gives no answer."""
    return within(
        ATTACH_LIMIT_S,
        call,
        f"Ray Serve gave no answer in {ATTACH_LIMIT_S:.0f} s; `testbed down`, then `testbed up`, "
        "starts a fresh cluster",
    )


def end_applications(topology: Topology) -> None:
    """Undo a start that failed, so that another may be tried; whatever this raises is logged."""
    try:
        ask_serve(partial(delete_applications, topology))
    except Exception as error:  # noqa: BLE001  what failed before is what the caller hears of
        _log.error("the nodes that had started could not be ended: %s", error)


def delete_applications(topology: Topology) -> None:
    """End the nodes' applications."""
    for node in topology.nodes:
        serve.delete(application_of(node.name))
