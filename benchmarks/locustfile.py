"""Load on one client node's HTTP door with Locust: pictures, raw tensors, several tasks at once.

    locust -f benchmarks/locustfile.py --headless -u 20 -t 30s --host http://127.0.0.1:PORT

A refusal (503) is a failure to Locust, listed under the door's own reason. Locust's users wait for
their answers, so they slow down with the system they measure; for an open loop use `testbed drive`.
"""

from __future__ import annotations

import io
import json
import random
from typing import Any

import gevent
import numpy as np
from locust import FastHttpUser, between, events, task
from PIL import Image


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # locust's
def add_options(parser: Any) -> None:
    """What a run can choose."""
    parser.add_argument("--tasks", default="segmentation,depth", help="comma between")
    parser.add_argument("--image-size", type=int, default=96, help="pixels a side")


@events.init.add_listener  # type: ignore[untyped-decorator]  # locust's
def forget_the_start(**_: Any) -> None:
    """Count a run's time from here: gevent's clock stood still during the imports, and a short run
    would be over before its first request."""
    gevent.get_hub().loop.update_now()


class Caller(FastHttpUser):
    """Asks for a random task of a picture of noise, in one of three forms."""

    wait_time = between(0.005, 0.02)
    connection_timeout = network_timeout = 10.0

    def on_start(self) -> None:
        """Make the bodies once."""
        options = self.environment.parsed_options
        self.tasks_asked = options.tasks.split(",")
        side = options.image_size
        pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format="jpeg")
        self.picture = stream.getvalue()
        tensor = {
            "name": "image", "datatype": "UINT8", "shape": pixels.shape,
            "parameters": {"binary_data_size": pixels.size},
        }  # fmt: skip
        request = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
        self.head = json.dumps(request).encode()
        self.raw = self.head + pixels.tobytes()

    @task(2)
    def ask_with_a_picture(self) -> None:
        """One task of a JPEG."""
        self._ask("picture", random.choice(self.tasks_asked), self.picture, "image/jpeg")

    @task(2)
    def ask_with_a_tensor(self) -> None:
        """One task of raw pixels."""
        length = {"inference-header-content-length": str(len(self.head))}
        model = random.choice(self.tasks_asked)
        self._ask("tensor", model, self.raw, "application/octet-stream", length)

    @task
    def ask_for_several_tasks(self) -> None:
        """All of them, of one JPEG."""
        self._ask("several", "all", self.picture, "image/jpeg", query=",".join(self.tasks_asked))

    def _ask(
        self,
        name: str,
        model: str,
        body: bytes,
        kind: str,
        headers: dict[str, str] | None = None,
        query: str = "",
    ) -> None:
        with self.client.post(
            f"/v2/models/{model}/infer" + (f"?outputs={query}" if query else ""),
            data=body,  # type: ignore[arg-type]  # locust sends bytes, and says only text
            headers={"content-type": kind, "x-client-id": "locust", **(headers or {})},
            name=name,
            catch_response=True,
        ) as response:
            if response.status_code == 503:
                response.failure(f"refused: {response.json()['reason']}")
