"""Metrics measured through the live path: a client node's HTTP door, its link, and an edge node.

Both nodes run in this process on real sockets. Half of a task's pictures are answered by the
client itself and half by the edge it forwards to, so both ways are in the mean.
"""

from __future__ import annotations

import asyncio
import io

import numpy as np
import uvloop
from PIL import Image
from pydantic import ByteSize

from cluster.topology import Link, Node, Tier
from models.benchmarks.splits.rendered import RenderedSplit
from models.runtime.model_runtime import ModelRuntime, decode_image
from models.tasks import find_task
from models.zoo.cards import ModelCard
from serving.ingress.listen import open_doors
from serving.node.config import NodeConfig
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target
from serving.system import Outcome, Query
from serving.traffic.live_system import HttpSystem

__all__ = ["live_scores"]

HOST, TOKEN = "127.0.0.1", "bench"
MAX_BATCH, WINDOW_S, AT_ONCE = 16, 30.0, 8
"""a promise so long that no picture is refused: what is measured is accuracy"""


def live_scores(card: ModelCard, split: RenderedSplit, images: int) -> dict[str, np.ndarray]:
    """Scores by task of the first `images` pictures that carry its label, asked over HTTP.

    Raises `RuntimeError` if a picture was not answered.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_live_scores(card, split, images))


async def _live_scores(card: ModelCard, split: RenderedSplit, images: int) -> dict[str, np.ndarray]:
    size = (card.preprocessing.height, card.preprocessing.width)

    def node(name: str) -> Node:
        return Node(
            name=name, tier=Tier(name), memory=ByteSize(2**30), compute=1, window_s=WINDOW_S,
            max_batch=MAX_BATCH,
        )  # fmt: skip

    def server(name: str, link: Link | None, above: int | None) -> NodeServer:
        async def find_peer(_: str) -> tuple[str, int]:
            assert above is not None
            return HOST, above

        return NodeServer(
            NodeConfig(node(name), (link,) if link else (), card.tasks, TOKEN),
            lambda _: ModelRuntime.load(card, max_batch=MAX_BATCH),
            lambda _: (*size, 3),
            find_peer,
            lambda _: card.tasks,
        )

    edge = server("edge", None, None)
    await edge.load((card.name,))
    link = Link(source="client", target="edge", bandwidth=ByteSize(10**10), rtt_s=0.0)
    client = server("client", link, await edge.start())
    await client.load((card.name,))
    await client.start()
    ways = tuple((Target(name, name, card.name), 0.5) for name in ("client", "edge"))
    client.route(RouteTable(1, dict.fromkeys(card.tasks, ways)))
    doors = await open_doors(
        client, lambda body, header: decode_image(body, card.preprocessing, header), size
    )
    try:
        async with HttpSystem({"client": f"http://{HOST}:{doors.http_port}"}) as system:
            return {
                task: await _ask_all(system, task, split, split.rows[task][:images])
                for task in card.tasks
            }
    finally:
        await doors.close()
        client.close()
        edge.close()


async def _ask_all(
    system: HttpSystem, task: str, split: RenderedSplit, rows: np.ndarray
) -> np.ndarray:
    score = find_task(task).score
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(row: int) -> float:
        stream = io.BytesIO()
        Image.fromarray(np.asarray(split.image_nhw3[row])).save(stream, "PNG", compress_level=1)
        async with gate:
            answer = await system.send(Query("client", task, stream.getvalue()))
        if answer.outcome is not Outcome.ANSWERED or answer.prediction is None:
            raise RuntimeError(f"{task}, picture {row}: {answer.outcome} {answer.reason}")
        return score(answer.prediction, np.asarray(split.labels[task][row]))

    return np.array(await asyncio.gather(*(ask(int(row)) for row in rows)))
