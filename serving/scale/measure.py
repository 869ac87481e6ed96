"""One cluster of null nodes, brought up, measured and taken down, on the real control path."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cluster.provider_choice import choice_of
from cluster.providers import lifecycle, ray_driver
from cluster.providers.state import ClusterState
from serving.client.client import Client, ClientError
from serving.errors import ServingError
from serving.scale.memory import ClusterMemory
from serving.scale.null_cluster import TASK, NullCluster, make_null_cluster
from serving.scale.result import MemoryFigures, ScaleRow

if TYPE_CHECKING:  # imports Ray, which wants its environment first
    from serving.deploy.fleet import Fleet

__all__ = ["measure_scale"]


def measure_scale(nodes: int, provider: str, changes: int, command: str) -> ScaleRow:
    """Bring up `nodes` null nodes, change their plan so many times, ask every client, and take it
    all down.

    Raises `CapacityError`, `ClusterError` and `ServingError` where something does not come up or
    is not answered; nothing of the cluster is left then, either.
    """
    cluster = make_null_cluster(nodes, command)
    begun_s = time.monotonic()
    state = lifecycle.up(cluster.topology, choice=choice_of(None, provider))
    up_s = time.monotonic() - begun_s
    try:
        ray_driver.connect()
        begun_s = time.monotonic()
        fleet = _launch(cluster, state)
        launch_s = time.monotonic() - begun_s
        first_s = _apply(fleet, cluster, 0)
        changes_s = [_apply(fleet, cluster, 1 + k, routes_alone=True) for k in range(changes)]
        answer_s = _ask_all(fleet, cluster.picture)
        memory = ClusterMemory.look(state)
    finally:
        ray_driver.disconnect()
        begun_s = time.monotonic()
        lifecycle.down()
        down_s = time.monotonic() - begun_s
    own = list(memory.nodes.values())
    return ScaleRow(
        nodes=nodes,
        clients=len(cluster.topology.clients),
        edges=len(cluster.topology.edges),
        up_s=up_s,
        launch_s=launch_s,
        first_plan_s=first_s,
        distribution_s=float(np.median(changes_s)),
        slowest_distribution_s=max(changes_s),
        changes=changes,
        answered=len(answer_s),
        answer_s=float(np.median(answer_s)),
        down_s=down_s,
        node_resident=MemoryFigures.of([each.resident_bytes for each in own]),
        node_proportional=MemoryFigures.of([each.proportional_bytes for each in own]),
        ray_bytes=memory.beside.proportional_bytes,
        cluster_bytes=memory.proportional_bytes,
    )


def _launch(cluster: NullCluster, state: ClusterState) -> Fleet:
    from serving.deploy.fleet import Fleet

    return Fleet.launch(
        cluster.topology,
        cluster.setting.base_tasks,
        cluster.setting.largest_query_bytes,
        state.link_token,
        wiring=state.wiring,
        profiles=cluster.setting.profiles,
    )


def _apply(fleet: Fleet, cluster: NullCluster, turn: int, *, routes_alone: bool = False) -> float:
    """Seconds from the decision until the plan whose turn it is is in force, and checked."""
    begun_s = time.monotonic()
    change = fleet.apply(cluster.plans[turn % 2], cluster.setting, cluster.phase)
    spent_s = time.monotonic() - begun_s
    if routes_alone and (change.loads_s or change.unloads_s or change.mended):
        raise ServingError(f"a change of routes loaded or unloaded models: {change}")
    return spent_s


def _ask_all(fleet: Fleet, picture: NDArray[np.uint8]) -> list[float]:
    """Seconds that a query to each client took. Raises `ServingError` for one without an answer."""
    spent_s = []
    token = fleet.door_token()
    for name, url in fleet.urls().items():
        with Client(url, token=token) as client:
            begun_s = time.monotonic()
            try:
                client.infer(TASK, picture)
            except ClientError as error:
                raise ServingError(f"{name} did not answer a query: {error}") from None
            spent_s.append(time.monotonic() - begun_s)
    return spent_s
