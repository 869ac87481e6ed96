"""pytriton (NVIDIA Triton around a Python function), with what its documentation advises.

Triton's dynamic batcher with the delay that suits the model; raw tensors over gRPC or HTTP.
Arguments: MODEL PORT BATCH BATCH_TIMEOUT_S (the gRPC port; HTTP listens on PORT + 1)
"""

from __future__ import annotations

import sys

import numpy as np
from frozen import FrozenModel
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

MODEL, PORT, BATCH, TIMEOUT_S = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])


def main() -> None:
    """Serve until ended."""
    frozen = FrozenModel(MODEL)
    answer = frozen.run(np.zeros((1, *frozen.shape), np.uint8))

    @batch
    def infer(image: np.ndarray) -> list[np.ndarray]:
        return [frozen.run(np.require(image, requirements=("C", "W")))]

    config = TritonConfig(
        http_address="127.0.0.1", http_port=PORT + 1, grpc_address="127.0.0.1", grpc_port=PORT,
        allow_metrics=False, log_verbose=0,
    )  # fmt: skip
    with Triton(config=config) as triton:
        triton.bind(
            model_name="frozen",
            infer_func=infer,
            inputs=[Tensor(name="image", dtype=np.uint8, shape=frozen.shape)],
            outputs=[Tensor(name="prediction", dtype=answer.dtype.type, shape=answer.shape[1:])],
            config=ModelConfig(
                max_batch_size=BATCH,
                batcher=DynamicBatcher(max_queue_delay_microseconds=int(TIMEOUT_S * 1e6)),
            ),
        )
        triton.serve()


if __name__ == "__main__":
    main()
