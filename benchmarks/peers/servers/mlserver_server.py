"""MLServer, with what its documentation advises for speed.

Adaptive batching, no pool of inference processes (one core, one small model), gRPC. Its UINT8
tensors become Python lists of numbers, so images travel as BYTES elements, which stay bytes.
Arguments: MODEL PORT BATCH BATCH_TIMEOUT_S (the gRPC port; HTTP listens on a free one)
"""

from __future__ import annotations

import asyncio
import socket
import sys

from frozen import FrozenModel
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

MODEL, PORT, BATCH, TIMEOUT_S = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])


class Runtime(MLModel):
    """The model behind MLServer's hooks."""

    async def load(self) -> bool:
        self._frozen = FrozenModel(MODEL)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        answers = self._frozen.run_raw(list(payload.inputs[0].data))
        output = ResponseOutput(
            name="prediction", datatype="BYTES", shape=[len(answers), 1], data=answers
        )
        return InferenceResponse(model_name=self.name, outputs=[output])


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def main() -> None:
    """Serve until ended."""
    settings = Settings(
        debug=False, host="127.0.0.1", http_port=free_port(), grpc_port=PORT,
        metrics_endpoint=None, parallel_workers=0, gzip_enabled=False,
    )  # fmt: skip
    model = ModelSettings(
        name="frozen", implementation=Runtime, max_batch_size=BATCH, max_batch_time=TIMEOUT_S
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
