"""LitServe, with what its documentation advises for speed.

Batching, ZeroMQ queues between API server and worker (`fast_queue`, "hundreds of requests per
second"), one worker for one core, and raw bytes as the body instead of JSON.
Arguments: MODEL PORT BATCH BATCH_TIMEOUT_S
"""

from __future__ import annotations

import sys
from typing import Annotated

import litserve
from fastapi import Body, Response
from frozen import FrozenModel

RAW = "application/octet-stream"
MODEL, PORT, BATCH, TIMEOUT_S = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])


class Api(litserve.LitAPI):
    """The model behind LitServe's hooks."""

    def setup(self, device: str) -> None:
        self.model = FrozenModel(MODEL)

    def decode_request(self, request: bytes) -> bytes:
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def predict(self, batch: list[bytes]) -> list[bytes]:
        return self.model.run_raw(batch)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output: bytes) -> Response:
        return Response(content=output, media_type=RAW)


# LitServe hands these annotations to FastAPI. Set by hand: a string, which `from __future__` makes
# of one, would not be found there.
Api.decode_request.__annotations__["request"] = Annotated[bytes, Body(media_type=RAW)]
Api.encode_response.__annotations__["return"] = Response

if __name__ == "__main__":
    server = litserve.LitServer(
        Api(max_batch_size=BATCH, batch_timeout=TIMEOUT_S),
        accelerator="cpu", workers_per_device=1, fast_queue=True, timeout=False,
    )  # fmt: skip
    server.run(
        host="127.0.0.1", port=PORT, num_api_servers=1, log_level="warning",
        generate_client_file=False, pretty_logs=False, access_log=False,
    )  # fmt: skip
