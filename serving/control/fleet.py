"""The nodes as Ray Serve applications, and the way a plan reaches them.

Serve is the control plane: it places each node's replica on the node's resource and keeps it
alive. Plans travel as versioned method calls, which act in a fraction of a second, where a new
Serve configuration stalls its replica for about one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray import serve

from cluster.providers.local import resource_of
from cluster.providers.state import ClusterError
from cluster.topology import Topology
from planner.plan import Plan
from serving.control.changeover import Change, carry_out
from serving.control.ledger import Assignment, find_ledger, open_ledger
from serving.control.promise import promised_bounds_s
from serving.control.replica import Endpoint, application_of, make_application
from serving.control.transition import Costs, Stage, plan_transition
from serving.ingress.limits import DoorConfig
from serving.metrics.targets import ScrapeTarget
from serving.node.router import RouteTable
from serving.node.server import NodeConfig, NodeSnapshot

__all__ = ["Fleet"]

CALL_TIMEOUT_S = 120.0


class Fleet:
    """Handles of the running nodes. Make one with `launch` or `attach`."""

    def __init__(self, topology: Topology, handles: Mapping[str, Any]) -> None:
        self.topology = topology
        self._handles = dict(handles)
        self._pool = ThreadPoolExecutor(max_workers=len(handles), thread_name_prefix="fleet")

    @classmethod
    def launch(
        cls,
        topology: Topology,
        tasks: tuple[str, ...],
        query_bytes: float,
        token: str,
        door: DoorConfig | None = None,
        *,
        shared_passes: bool = True,
    ) -> Fleet:
        """Start one Serve application a node and wait until all run. Raises `ClusterError`.

        `token` is what nodes show each other, `door` says where clients' doors listen and to whom.
        """
        configs = [
            NodeConfig(
                node=node,
                uplinks=topology.uplinks(node.name),
                tasks=tasks,
                token=token,
                bounds_s=promised_bounds_s(topology, node.name, query_bytes),
                shared_passes=shared_passes,
            )
            for node in topology.nodes
        ]
        _quiet()
        serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
        ray.get(open_ledger().assign.remote({}))
        targets = [
            serve.RunTarget(
                make_application(config, door or DoorConfig(), resource_of(config.node.name)),
                name=application_of(config.node.name),
                route_prefix=None,
            )
            for config in configs
        ]
        try:
            handles = serve.run_many(targets)
        except RuntimeError as error:
            raise ClusterError(f"a node did not start: {' '.join(str(error).split())}") from None
        names = [config.node.name for config in configs]
        return cls(topology, dict(zip(names, handles, strict=True)))

    @classmethod
    def attach(cls, topology: Topology) -> Fleet | None:
        """The fleet that runs on the connected cluster, or None if none was launched."""
        _quiet()
        running = set(serve.status().applications)
        if not all(application_of(node.name) in running for node in topology.nodes):
            return None
        return cls(
            topology,
            {node.name: serve.get_app_handle(application_of(node.name)) for node in topology.nodes},
        )

    def endpoints(self) -> dict[str, Endpoint]:
        """Where every node listens now."""
        return self._call_all("endpoint", dict.fromkeys(self._handles, ()))

    def urls(self) -> dict[str, str]:
        """client -> base URL of its HTTP door."""
        return {name: endpoint.url for name, endpoint in self.endpoints().items() if endpoint.url}

    def door_token(self) -> str | None:
        """What the doors ask for, if anything."""
        return next((end.token for end in self.endpoints().values() if end.doors), None)

    def scrape_targets(self) -> dict[str, ScrapeTarget]:
        """Where every node's metrics are read."""
        return {
            name: ScrapeTarget(endpoint.metrics_address, str(self.topology.node(name).tier))
            for name, endpoint in self.endpoints().items()
        }

    def snapshots(self) -> dict[str, NodeSnapshot]:
        """Counters of every node."""
        return self._call_all("snapshot", dict.fromkeys(self._handles, ()))

    def apply(self, plan: Plan, model_bytes: Mapping[tuple[str, str], int]) -> Change:
        """Put `plan` in force: load, route, drain, unload. Versions only ever rise.

        `model_bytes` is s_m by (node, model).
        """
        started_s = time.monotonic()
        now = self.snapshots()
        clients = [node.name for node in self.topology.clients]
        current: dict[str, RouteTable] = self._call_all("table", dict.fromkeys(clients, ()))
        stages = plan_transition(
            plan,
            max(snapshot.plan_version for snapshot in now.values()) + 1,
            current,
            {name: frozenset(snapshot.models) for name, snapshot in now.items()},
            Costs(model_bytes, {node.name: int(node.memory) for node in self.topology.nodes}),
            {name: self._reached(name) for name in clients},
            {model: tasks for snapshot in now.values() for model, tasks in snapshot.tasks.items()},
        )
        return carry_out(stages, self._call_all, _remember, started_s=started_s)

    def _reached(self, client: str) -> list[tuple[str, str]]:
        return [(str(node.tier), node.name) for node in self.topology.reached_from(client)]

    def _call_all(self, method: str, arguments: Mapping[str, Iterable[Any]]) -> dict[str, Any]:
        """Call `method` on the named nodes at once and wait for all."""
        started = {
            name: getattr(self._handles[name], method).remote(*values)
            for name, values in arguments.items()
        }
        results = self._pool.map(
            lambda response: response.result(timeout_s=CALL_TIMEOUT_S), started.values()
        )
        return dict(zip(started, results, strict=True))


def _remember(stage: Stage, version: int) -> None:
    """Tell the ledger what a node that is started anew has to take up."""
    assignments = {
        node: Assignment(version, tuple(sorted(models)), stage.routes.get(node))
        for node, models in stage.keep.items()
    }
    ray.get(find_ledger().assign.remote(assignments))


def _quiet() -> None:
    """Serve narrates on the driver's stderr, at a level that it sets when it is imported."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
