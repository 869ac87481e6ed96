"""A node as a Ray Serve deployment: Serve places it, watches it and restarts it, nothing more.

Queries never pass through Serve: a client node's HTTP door and the links between nodes are the
replica's own sockets. Serve carries only the control plane, as method calls on this class.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import uvicorn
from numpy.typing import NDArray
from ray import serve

from cluster.topology import Tier
from serving.control.ledger import Assignment, find_ledger
from serving.node.router import RouteTable
from serving.node.server import NodeConfig, NodeServer, NodeSnapshot

__all__ = ["Endpoint", "NodeReplica", "application_of", "make_application"]


@dataclass(frozen=True)
class Endpoint:
    """Where a node listens: for the tier below, and (clients) for HTTP."""

    host: str
    peer_port: int
    http_port: int | None

    @property
    def url(self) -> str:
        """Base URL of the HTTP door."""
        return f"http://{self.host}:{self.http_port}"


def application_of(node: str) -> str:
    """Name of the Serve application that is a node."""
    return f"testbed-{node}"


class NodeReplica:
    """The deployment class; one replica a node."""

    # Serve awaits an asynchronous constructor, on the loop that the node will live on.
    async def __init__(self, config: NodeConfig) -> None:  # type: ignore[misc]
        # Imported here so that the driver, which only holds handles, does without torch.
        from models.runtime import ModelRuntime, decode_image
        from models.zoo.registry import find_model, list_models

        node = config.node

        def load(model: str) -> ModelRuntime:
            return ModelRuntime.load(
                find_model(model),
                node.device,
                threads=node.threads,
                max_batch=node.max_batch,
                memory_bytes=int(node.memory),
            )

        @cache  # asked for every forwarded query
        def image_shape(model: str) -> tuple[int, int, int]:
            size = find_model(model).preprocessing
            return (size.height, size.width, 3)

        @cache
        def tasks_of(model: str) -> tuple[str, ...]:
            return find_model(model).tasks

        self._server = NodeServer(config, load, image_shape, self._find_peer, tasks_of)
        self._config = config
        ledger = find_ledger()
        await self._take_up(await ledger.assignment.remote(node.name))
        peer_port = await self._server.start()
        http_port = None
        if node.tier is Tier.CLIENT:
            preprocessing = list_models()[0].preprocessing
            http_port = self._open_door(
                lambda body: decode_image(body, preprocessing),
                (preprocessing.height, preprocessing.width),
                await ledger.port.remote(node.name),
            )
            await ledger.claim_port.remote(node.name, http_port)
        self._endpoint = Endpoint(config.host, peer_port, http_port)

    async def endpoint(self) -> Endpoint:
        """Where the node listens now."""
        return self._endpoint

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        """See `NodeServer.load`."""
        return await self._server.load(models)

    async def route(self, table: RouteTable) -> None:
        """See `NodeServer.route`."""
        self._server.route(table)

    async def table(self) -> RouteTable:
        """See `NodeServer.table`."""
        return self._server.table

    async def drained(self, version: int) -> None:
        """See `NodeServer.drained`."""
        await self._server.drained(version)

    async def retire(self, version: int, keep: frozenset[str]) -> tuple[str, ...]:
        """See `NodeServer.retire`."""
        return await self._server.retire(version, keep)

    async def snapshot(self) -> NodeSnapshot:
        """See `NodeServer.snapshot`."""
        return self._server.snapshot()

    async def _find_peer(self) -> tuple[str, int]:
        uplink = self._config.uplink
        assert uplink is not None
        handle = serve.get_app_handle(application_of(uplink.target))
        endpoint: Endpoint = await handle.endpoint.remote()
        return endpoint.host, endpoint.peer_port

    async def _take_up(self, assignment: Assignment | None) -> None:
        """Do what the node was told before its replica was restarted."""
        if assignment is None:
            return
        await self._server.load(assignment.models)
        await self._server.retire(assignment.version, frozenset(assignment.models))
        if assignment.table is not None:
            self._server.route(assignment.table)

    def _open_door(
        self,
        decode: Callable[[bytes], NDArray[np.uint8]],
        size: tuple[int, int],
        former_port: int | None,
    ) -> int:
        """Listen for HTTP, where it listened before if that is known; returns the port."""
        from serving.ingress.http import HttpIngress

        listener = socket.create_server((self._config.host, former_port or 0), backlog=4096)
        app = HttpIngress(self._server, decode, size)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        self._door = asyncio.get_running_loop().create_task(
            uvicorn.Server(config).serve(sockets=[listener])
        )
        return int(listener.getsockname()[1])


def make_application(config: NodeConfig, resource: str) -> serve.Application:
    """The Serve application of one node, pinned to its resource."""
    configure = serve.deployment(
        name="node",
        num_replicas=1,
        max_ongoing_requests=1_000,
        health_check_period_s=5,
        graceful_shutdown_timeout_s=5,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        ray_actor_options={"num_cpus": 0, "resources": {resource: 0.5}},
    )
    return configure(NodeReplica).bind(config)
