"""Open Inference Protocol v2 over HTTP: requests and answers as bytes, without any I/O.

A request carries one tensor, `image`, UINT8 of shape (h, w, 3) or (n, h, w, 3), as JSON numbers or
as raw bytes behind the JSON header (`Inference-Header-Content-Length`). The answer carries one
tensor, `prediction`, raw if the request asked for that, else JSON numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.node.errors import BadQueryError

__all__ = ["InferRequest", "encode_answer", "parse_request", "task_metadata"]

DATATYPES = {
    "uint8": "UINT8", "int8": "INT8", "float16": "FP16", "float32": "FP32",
}  # fmt: skip
INPUT, OUTPUT = "image", "prediction"
MAX_IMAGES = 64


@dataclass(frozen=True)
class InferRequest:
    """A parsed request: images (n, h, w, 3) uint8, and how to answer."""

    images_nhw3: NDArray[np.uint8]
    batched: bool
    """whether the request had a leading batch axis, which the answer then has too"""
    request_id: str
    binary: bool


def parse_request(body: bytes, header_bytes: int | None, size: tuple[int, int]) -> InferRequest:
    """Read a request. `header_bytes` is the JSON header's length if raw tensors follow it, `size`
    the (height, width) the models take. Raises `BadQueryError` that says what was expected."""
    if header_bytes is not None and not 0 < header_bytes <= len(body):
        raise BadQueryError(
            400,
            f"Inference-Header-Content-Length is {header_bytes}, the body has {len(body)} bytes",
        )
    try:
        header = json.loads(body[:header_bytes])
    except (ValueError, RecursionError) as error:
        raise BadQueryError(400, f"the request is not JSON: {error}") from None
    tensor = _only_input(header)
    shape = _shape(tensor.get("shape"), size)
    raw = body[header_bytes:] if header_bytes is not None else b""
    flat = _values(tensor, raw, int(np.prod(shape)))
    return InferRequest(
        images_nhw3=flat.reshape((-1, *size, 3)),
        batched=len(shape) == 4,
        request_id=str(header.get("id", "")),
        binary=_wants_binary(header),
    )


def encode_answer(
    request: InferRequest,
    task: str,
    predictions: list[NDArray[np.generic]],
    parameters: Mapping[str, Any],
) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON header if a raw tensor follows it."""
    stacked = np.stack(predictions) if request.batched else predictions[0]
    tensor: dict[str, Any] = {
        "name": OUTPUT,
        "datatype": DATATYPES[stacked.dtype.name],
        "shape": list(stacked.shape),
    }
    answer = {
        "model_name": task,
        "id": request.request_id,
        "parameters": dict(parameters),
        "outputs": [tensor],
    }
    if not request.binary:
        tensor["data"] = stacked.ravel().tolist()
        return json.dumps(answer).encode(), None
    raw = np.ascontiguousarray(stacked).tobytes()
    tensor["parameters"] = {"binary_data_size": len(raw)}
    header = json.dumps(answer).encode()
    return header + raw, len(header)


def task_metadata(
    task: str, size: tuple[int, int], answer_dtype: str, answer_shape: tuple[int, ...]
) -> dict[str, Any]:
    """What `GET /v2/models/{task}` says: the tensors in and out, -1 for the number of images."""
    return {
        "name": task,
        "platform": "j3o-testbed",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, *size, 3]}],
        "outputs": [
            {
                "name": OUTPUT,
                "datatype": DATATYPES[np.dtype(answer_dtype).name],
                "shape": [-1, *answer_shape],
            }
        ],
    }


def _only_input(header: Any) -> dict[str, Any]:
    inputs = header.get("inputs") if isinstance(header, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadQueryError(400, f"expected `inputs` with one tensor, {INPUT!r}")
    tensor = inputs[0]
    if tensor.get("name") != INPUT or tensor.get("datatype") != "UINT8":
        raise BadQueryError(
            400,
            f"inputs.0: expected {INPUT!r} of datatype UINT8, got {tensor.get('name')!r} of "
            f"{tensor.get('datatype')!r}",
        )
    return tensor


def _shape(shape: Any, size: tuple[int, int]) -> tuple[int, ...]:
    expected = f"[{size[0]}, {size[1]}, 3] or [n, {size[0]}, {size[1]}, 3], n at most {MAX_IMAGES}"
    whole = isinstance(shape, list) and all(type(extent) is int for extent in shape)
    if not whole or tuple(shape[-3:]) != (*size, 3) or len(shape) not in (3, 4):
        raise BadQueryError(422, f"inputs.0.shape: expected {expected}, got {shape}")
    if len(shape) == 4 and not 1 <= shape[0] <= MAX_IMAGES:
        raise BadQueryError(422, f"inputs.0.shape: expected {expected}, got {shape}")
    return tuple(shape)


def _values(tensor: dict[str, Any], raw: bytes, count: int) -> NDArray[np.uint8]:
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None:
        if size != len(raw) or size != count:
            raise BadQueryError(
                400, f"inputs.0: expected {count} raw bytes, declared {size}, got {len(raw)}"
            )
        return np.frombuffer(raw, dtype=np.uint8)
    try:
        values = np.asarray(tensor.get("data"), dtype=np.int64).ravel()
    except (TypeError, ValueError, OverflowError):
        raise BadQueryError(400, "inputs.0.data: expected whole numbers from 0 to 255") from None
    if len(values) != count:
        raise BadQueryError(400, f"inputs.0.data: expected {count} numbers, got {len(values)}")
    if len(values) and not 0 <= values.min() <= values.max() <= 255:
        raise BadQueryError(400, "inputs.0.data: expected whole numbers from 0 to 255")
    return values.astype(np.uint8)


def _wants_binary(header: dict[str, Any]) -> bool:
    """Whether the request asks for raw output, for all outputs or for `prediction`."""
    parameters = header.get("parameters")
    if isinstance(parameters, dict) and parameters.get("binary_data_output"):
        return True
    outputs = header.get("outputs")
    for entry in outputs if isinstance(outputs, list) else ():
        wanted = entry.get("parameters") if isinstance(entry, dict) else None
        if isinstance(wanted, dict) and wanted.get("binary_data"):
            return True
    return False
