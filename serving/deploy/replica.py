"""A node as a Ray Serve deployment: Serve places it, watches it and restarts it, nothing more.

Queries never pass through Serve: a client node's doors and the links between nodes are the
replica's own sockets. Serve carries only the control plane, as method calls on this class.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray import serve

from cluster.addresses import is_wildcard
from cluster.providers.ray_names import application_of
from cluster.topology import Tier
from serving.deploy.assignments import find_assignments
from serving.deploy.door_ports import DoorPorts
from serving.deploy.health_checks import HEALTH_PERIOD_S, HEALTH_TIMEOUT_S
from serving.deploy.kept_ports import open_at
from serving.deploy.node_models import NodeModels
from serving.deploy.peer_finder import PeerFinder
from serving.deploy.worker_environment import ENVIRONMENT
from serving.ingress.access import DoorConfig
from serving.logs.file import OpenLog
from serving.logs.line import Level
from serving.logs.logger import NodeLogger
from serving.metrics.endpoint import METRICS_PATH, PageServer
from serving.metrics.node_metrics import NodeMetrics, Reading
from serving.node.config import NodeConfig
from serving.node.control import ServerControl
from serving.node.device.process_tuning import freeze_heap, schedule_as_batch, take_short_turns
from serving.node.server import NodeServer
from serving.node.snapshot import NodeSnapshot
from serving.rollout.assignment import Assignment
from serving.rollout.mend import keep_assignment, mend
from serving.wall_clock import WallClock

__all__ = ["Endpoint", "LogConfig", "NodeReplica", "make_application"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogConfig:
    """Where the nodes write their logs, on the host of each, and from which level on."""

    folder: str
    level: Level = Level.INFO


@dataclass(frozen=True)
class Endpoint:
    """Where a node listens: for the tier below, and (clients) at its doors."""

    host: str
    peer_port: int = 0
    """for nodes below, at `host`; 0 where none reach it there"""
    peers: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """(host, port) for those nodes below that have a link of their own, by name"""
    doors: DoorPorts | None = None
    door_host: str = ""
    """under which callers reach the doors"""
    token: str | None = field(default=None, repr=False)
    """what the doors ask for; only drivers of the cluster can read it here"""
    metrics_address: str = ""
    """HOST:PORT where GET /metrics is answered"""
    tasks: tuple[str, ...] = ()
    """that the node was started for: what its door decodes pictures to is settled by them"""

    def peer_at(self, below: str) -> tuple[str, int]:
        """(host, port) for the node `below` it."""
        return self.peers.get(below, (self.host, self.peer_port))

    @property
    def url(self) -> str:
        """Base URL of the HTTP door; empty where there is none."""
        return f"http://{_bracketed(self.door_host)}:{self.doors.http}" if self.doors else ""

    @property
    def grpc_address(self) -> str:
        """HOST:PORT of the gRPC door; empty where there is none."""
        return f"{_bracketed(self.door_host)}:{self.doors.grpc}" if self.doors else ""


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _read(seen: NodeSnapshot, held_bytes: Mapping[str, int]) -> Reading:
    """What a scrape reads. `held_bytes` has every model that was ever loaded."""
    return Reading(
        waiting=seen.waiting,
        resident_bytes={model: held_bytes[model] for model in seen.models},
        in_flight=seen.in_flight,
        busy_s=seen.busy_s,
        late_batches=seen.late_batches,
    )


class NodeReplica(ServerControl):
    """The deployment class; one replica a node."""

    # Serve awaits an asynchronous constructor, on the loop that the node will live on.
    async def __init__(  # type: ignore[misc]
        self, config: NodeConfig, door: DoorConfig, log: LogConfig
    ) -> None:
        wall_clock = WallClock()
        # For as long as the process lives.
        OpenLog(Path(log.folder), config.node.name, log.level, wall_clock=wall_clock)
        self._log = NodeLogger(_log, config.node.name)
        try:
            await self._start(config, door, Path(log.folder), wall_clock)
        except Exception:
            self._log.exception("the node does not start")
            raise

    async def _start(
        self, config: NodeConfig, door: DoorConfig, log_folder: Path, wall_clock: WallClock
    ) -> None:
        node = config.node
        models = NodeModels(config)
        models.prepare()
        freeze_heap()
        take_short_turns()
        schedule_as_batch()
        config = replace(config, host=ray.util.get_node_ip_address())
        door = door.at(config.host, private=config.private)

        metrics = NodeMetrics(node, config.bounds_s)
        find_peer = PeerFinder(node.name, _open_endpoint).find
        tracing = None
        if config.tracing is not None:
            from serving.tracing.exporters import open_tracing

            tracing = open_tracing(config.tracing, node.name, log_folder)
        server = NodeServer(
            config, models.load, models.image_shape, find_peer, models.tasks_of,
            observer=metrics, wall_clock=wall_clock, tracing=tracing,
        )  # fmt: skip
        super().__init__(server, log_folder)
        metrics.watch(lambda: _read(server.snapshot(), models.held_bytes))
        self._config = config
        assignments = find_assignments()

        async def read_assignment() -> Assignment | None:
            return await asyncio.to_thread(assignments.assignment, node.name)

        if await asyncio.to_thread(assignments.device_is_lost, node.name):
            server.switch_device(True)
        set_to = await asyncio.to_thread(assignments.link_conditions, node.name)
        for target, condition in set_to.items():
            server.change_link(target, condition)
        await self._take_up(await read_assignment())
        peers = await server.start_links()
        alone = bool(peers) or node.tier is Tier.CLIENT  # nobody else is below it
        listening = Endpoint(
            config.host, 0 if alone else await server.start(), peers, tasks=config.tasks
        )
        # Callers keep their addresses when a replica is restarted.
        former = await asyncio.to_thread(assignments.ports, node.name)
        if node.tier is Tier.CLIENT:
            from serving.ingress.listen import open_doors

            taken = models.taken
            self._doors = await open_at(
                former,
                lambda at: open_doors(
                    server,
                    models.decode,
                    (taken.height, taken.width),
                    door,
                    http_port=at.http,
                    grpc_port=at.grpc,
                    pages={METRICS_PATH: metrics.page},
                    wall_clock=wall_clock,
                ),
                node.name,
            )
            ports = DoorPorts(self._doors.http_port, self._doors.grpc_port)
            reached = ray.util.get_node_ip_address() if is_wildcard(door.host) else door.host
            scraped = f"{_bracketed(reached)}:{ports.http}"
            self._endpoint = replace(
                listening, doors=ports, door_host=reached, token=door.token, metrics_address=scraped
            )
        else:

            async def serve_page(at: DoorPorts) -> PageServer:
                page = PageServer(metrics.page, at.http, node.name, host=config.host)
                await page.start()
                return page

            self._page = await open_at(former, serve_page, node.name)
            ports = DoorPorts(self._page.port)
            self._endpoint = replace(listening, metrics_address=self._page.address)
        await asyncio.to_thread(assignments.claim_ports, node.name, ports)
        self._changing = asyncio.Lock()
        self._keeping = asyncio.create_task(
            keep_assignment(ServerControl(server), read_assignment, self._changing, node.name)
        )
        self._log.info(
            "the node runs: process %d, device %s, metrics at %s",
            os.getpid(), node.device, self._endpoint.metrics_address,
        )  # fmt: skip

    async def check_health(self) -> None:
        """Serve asks every few seconds; a node whose device is broken is started anew."""
        if self._server.failing:
            health = self._server.snapshot().device
            self._log.limited(logging.ERROR, health, "%s; Serve ends the node", health.sentence)
            raise RuntimeError(f"{self._config.node.name}: {health.sentence}")
        if self._keeping.done():
            raise RuntimeError(f"{self._config.node.name}: it does not look after itself any more")

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        """See `NodeControl.load`."""
        async with self._changing:
            return await super().load(models)

    async def retire(self, version: int, keep: frozenset[str]) -> dict[str, float]:
        """See `NodeControl.retire`."""
        async with self._changing:
            return await super().retire(version, keep)

    async def endpoint(self) -> Endpoint:
        """Where the node listens now."""
        return self._endpoint

    async def _take_up(self, assignment: Assignment | None) -> None:
        """Do what the node was told before its replica was restarted. What fails is tried again by
        and by: meanwhile the node does what it can."""
        if assignment is None:
            return
        self._log.warning(
            "the node was started anew; it takes up plan version %d with %s",
            assignment.version, ", ".join(assignment.models) or "no model",
        )  # fmt: skip
        try:
            await mend(ServerControl(self._server), assignment)
        except Exception:  # noqa: BLE001 - whatever it was, it is tried again
            self._log.exception("the node could not take up its assignment; it tries again")


def _open_endpoint(node: str) -> Callable[[], Awaitable[Endpoint]]:
    """The call that asks a node where it listens."""
    ask: Callable[[], Awaitable[Endpoint]] = serve.get_app_handle(
        application_of(node)
    ).endpoint.remote
    return ask


def make_application(
    config: NodeConfig, door: DoorConfig, log: LogConfig, placed: Mapping[str, Any]
) -> serve.Application:
    """The Serve application of one node, `placed` by these of Ray's options."""
    configure = serve.deployment(
        name="node",
        num_replicas=1,
        max_ongoing_requests=1_000,
        health_check_period_s=HEALTH_PERIOD_S,
        health_check_timeout_s=HEALTH_TIMEOUT_S,
        graceful_shutdown_timeout_s=5,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        ray_actor_options={
            "num_cpus": 0,
            **placed,
            "runtime_env": {"env_vars": ENVIRONMENT},
        },
    )
    return configure(NodeReplica).bind(config, door, log)
