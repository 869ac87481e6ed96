"""Plain Ray Serve: its HTTP proxy, `@serve.batch`, and `max_ongoing_requests` above the batch.

The model runs in a thread, so that the replica's loop goes on taking requests meanwhile.
Arguments: MODEL PORT BATCH BATCH_TIMEOUT_S
"""

from __future__ import annotations

import asyncio
import signal
import sys

import ray
from frozen import FrozenModel
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

MODEL, PORT, BATCH, TIMEOUT_S = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])


class Model:
    """The model behind Serve's own batching."""

    def __init__(self) -> None:
        self._frozen = FrozenModel(MODEL)

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=TIMEOUT_S)
    async def infer(self, images: list[bytes]) -> list[bytes]:
        return await asyncio.to_thread(self._frozen.run_raw, images)

    async def __call__(self, request: Request) -> Response:
        answer = await self.infer(await request.body())
        return Response(answer, media_type="application/octet-stream")


if __name__ == "__main__":
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    serve.start(
        http_options={"host": "127.0.0.1", "port": PORT},
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    configure = serve.deployment(max_ongoing_requests=8 * BATCH, ray_actor_options={"num_cpus": 1})
    serve.run(configure(Model).bind(), name="peer")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
