"""A client node with fake models and both doors open, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import uvloop
from PIL import Image
from pydantic import ByteSize

from cluster.topology import Node, Tier
from models.runtime.picture_header import PictureHeader
from serving.ingress.access import DoorConfig
from serving.ingress.listen import open_doors
from serving.node.config import NodeConfig
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target
from serving.tracing.active import Tracing

__all__ = ["SIZE", "TASKS", "Served", "SlowModel", "decode", "picture", "serve_node"]

SIZE = 4
TASKS = ("depth", "edges", "normals", "segmentation")
T = TypeVar("T")


class SlowModel:
    """Depth is the red channel, segmentation the green one; a pass takes `pass_s`."""

    weights_bytes = 4

    def __init__(self, pass_s: float = 0.0) -> None:
        self.pass_s = pass_s
        self.images = 0

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(self.pass_s)
        self.images += len(images)
        return {"depth": images[..., 0].astype(np.float16), "segmentation": images[..., 1]}

    def close(self) -> None:
        pass


@dataclass
class Served:
    """A served node."""

    http: int
    grpc: int
    node: NodeServer
    model: SlowModel
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    def peer(self) -> int:
        """The port for nodes of the tier below."""
        return asyncio.run_coroutine_threadsafe(self.node.start(), self.loop).result(timeout=10)

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the node's loop."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(timeout=10)


def decode(body: bytes, header: PictureHeader) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(body)).convert("RGB")
    except OSError:
        raise ValueError("not a PNG or JPEG image") from None
    if image.size != (SIZE, SIZE):
        raise ValueError(f"expected an image of {SIZE} x {SIZE} pixels, got {image.size}")
    return np.asarray(image)


def picture(kind: str = "png", size: int = SIZE, value: int = 7) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(stream, format=kind)
    return stream.getvalue()


@contextmanager
def serve_node(
    config: DoorConfig | None = None,
    *,
    pass_s: float = 0.0,
    window_s: float = 30.0,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
    tracing: Tracing | None = None,
) -> Iterator[Served]:
    """Depth and segmentation are served, edges has no way, normals no model.

    The loop is the one that replicas run on, unless another is asked for. Whatever is left
    unhandled on it fails the test.
    """
    faults: list[str] = []
    ready: threading.Event = threading.Event()
    done: list[Served | BaseException] = []
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        model = SlowModel()
        place = Node(
            name="client", tier=Tier.CLIENT, memory=ByteSize(1), compute=0.5, window_s=window_s
        )
        server = NodeServer(
            NodeConfig(place, (), TASKS, "token", {"client": 0.2}),
            lambda _: model,
            lambda _: (SIZE, SIZE, 3),
            tracing=tracing,
        )
        await server.load(("m",))
        model.pass_s = pass_s
        for size in (1, 8, 32) * 10:  # what its rehearsals would have shown, without their seconds
            server._executor.learn("m", size, pass_s)
        here, away = Target("client", "client", "m"), Target("edge", "edge", "m")
        ways = {"depth": here, "segmentation": here, "edges": away}
        server.route(RouteTable(3, {task: ((way, 1.0),) for task, way in ways.items()}))
        doors = await open_doors(server, decode, (SIZE, SIZE), config)
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(lambda _, context: faults.append(str(context)))
        stop.append(partial(loop.call_soon_threadsafe, stopped.set))
        done.append(Served(doors.http_port, doors.grpc_port, server, model, loop))
        ready.set()
        await stopped.wait()
        await doors.close()
        server.close()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(main())
        except BaseException as error:
            done.append(error)
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="door")
    thread.start()
    ready.wait(timeout=20)
    served = done[0]
    if isinstance(served, BaseException):
        raise served
    try:
        yield served
    finally:
        stop[0]()
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert not faults
