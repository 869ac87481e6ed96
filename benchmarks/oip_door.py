"""Our own doors as the load generator sees them: Open Inference Protocol with raw tensors."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from http_door import HttpDoor

__all__ = ["oip_door", "tensor_request"]


def tensor_request(image: np.ndarray) -> tuple[bytes, dict[str, str]]:
    """A request with one raw tensor, and its headers, which are alike for images of a shape."""
    raw = image.tobytes()
    tensor = {
        "name": "image", "datatype": "UINT8", "shape": list(image.shape),
        "parameters": {"binary_data_size": len(raw)},
    }  # fmt: skip
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return header + raw, {
        "inference-header-content-length": str(len(header)),
        "content-type": "application/octet-stream",
    }


def oip_door(port: int, task: str, images: Iterable[np.ndarray]) -> HttpDoor:
    """The door of a client node on `port`."""
    requests = [tensor_request(image) for image in images]
    url = f"http://127.0.0.1:{port}/v2/models/{task}/infer"
    return HttpDoor(url, [body for body, _ in requests], requests[0][1])
