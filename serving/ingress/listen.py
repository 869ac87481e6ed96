"""Both doors of a client node, opened and closed together."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from serving.http.server import BACKLOG, HttpServer
from serving.ingress.access import DoorConfig
from serving.ingress.access_log import AccessLog, LoggedDoor
from serving.ingress.door import Door
from serving.ingress.grpc_api import GrpcApi
from serving.ingress.http_api import HttpApi, Page
from serving.ingress.image_decoding import Decode
from serving.ingress.openapi import describe_pages
from serving.logs.logger import NodeLogger
from serving.node.server import NodeServer
from serving.wall_clock import WallClock

__all__ = ["Doors", "open_doors"]

_log = logging.getLogger(__name__)


@dataclass
class Doors:
    """What listens for the callers of a client node."""

    http_port: int
    grpc_port: int
    _http: HttpServer
    _grpc: GrpcApi

    async def close(self) -> None:
        """Stop listening and end every connection; exchanges in flight have five seconds."""
        await self._grpc.close()
        await self._http.close()


async def open_doors(
    node: NodeServer,
    decode: Decode,
    size: tuple[int, int],
    config: DoorConfig | None = None,
    *,
    http_port: int = 0,
    grpc_port: int = 0,
    pages: Mapping[str, Page] | None = None,
    wall_clock: WallClock | None = None,
) -> Doors:
    """Listen for HTTP and gRPC on the configured host, on free ports unless they are given.

    `decode` makes an array of a PNG or JPEG; `size` is the (height, width) of the images that the
    models take; `pages` are further paths of the HTTP door, `wall_clock` is the node's. Raises
    `OSError` if a port is taken.
    """
    config = config or DoorConfig()
    name = node.config.node.name
    access_log = AccessLog(name) if config.access_log else None
    door_class = LoggedDoor if access_log else Door
    door = door_class(node, size, config.limits, wall_clock=wall_clock)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.create_server((config.host, http_port), family=family, backlog=BACKLOG)
    grpc_door = GrpcApi(door, config, access_log)
    try:
        bound = await grpc_door.start(grpc_port)
    except OSError:
        listener.close()
        raise
    pages = pages or {}
    served = {**describe_pages(door, config, pages), **pages}
    http = HttpServer(
        HttpApi(door, decode, config, served),
        listener,
        config.limits,
        node=name,
        on_request=access_log.write_request if access_log else None,
    )
    await http.start()
    NodeLogger(_log, name).info(
        "doors are open at %s: HTTP on port %d, gRPC on port %d; callers %s a token",
        config.host, http.port, bound, "need" if config.token else "need not show",
    )  # fmt: skip
    return Doors(http.port, bound, http, grpc_door)
