"""The Open Inference Protocol v2 over HTTP: questions and replies as bytes, without any I/O.

Tensors are JSON numbers, or raw bytes behind the JSON header, whose length then is in
`Inference-Header-Content-Length`. Outputs come back raw where the request asks for that.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.ingress.limits import Limits
from serving.ingress.protocol import (
    INPUT,
    Question,
    Reply,
    check_shape,
    datatype_of,
    read_timeout_s,
)
from serving.node.errors import BadQueryError

__all__ = ["encode_reply", "parse_question"]


def parse_question(
    body: bytes, header_bytes: int | None, size: tuple[int, int], limits: Limits
) -> Question:
    """Read a request. `header_bytes` is the JSON header's length if raw tensors follow it, `size`
    the (height, width) the models take. Raises `BadQueryError` that says what was expected."""
    if header_bytes is not None and not 0 < header_bytes <= len(body):
        raise BadQueryError(
            400,
            f"Inference-Header-Content-Length is {header_bytes}, the body has {len(body)} bytes",
        )
    written = len(body) if header_bytes is None else header_bytes
    if written > limits.json_bytes:
        raise BadQueryError(
            413,
            f"expected at most {limits.json_bytes} bytes of JSON, got {written}; send raw tensors",
        )
    try:
        header = json.loads(body[:header_bytes])
    except (ValueError, RecursionError) as error:
        raise BadQueryError(400, f"the request is not JSON: {error}") from None
    tensor = _only_input(header)
    shape = check_shape(tensor.get("shape"), size, limits.images)
    raw = memoryview(body)[header_bytes:] if header_bytes is not None else memoryview(b"")
    flat = _values(tensor, raw, math.prod(shape))
    parameters = _object(header, "parameters")
    outputs, binary = _outputs(header, bool(parameters.get("binary_data_output")))
    timeout = parameters.get("timeout")
    return Question(
        images_nhw3=flat.reshape((-1, *size, 3)),
        batched=len(shape) == 4,
        outputs=outputs,
        binary=binary,
        request_id=str(header.get("id", "")),
        timeout_s=None if timeout is None else read_timeout_s(timeout, 1e-6, "parameters.timeout"),
        caller=str(parameters.get("client_id", "")),
    )


def encode_reply(question: Question, reply: Reply) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON header if raw tensors follow it."""
    tensors, raws = [], []
    for output in reply.outputs:
        values = output.values
        tensor: dict[str, Any] = {
            "name": output.name,
            "datatype": datatype_of(values),
            "shape": values.shape,
            "parameters": dict(output.parameters),
        }
        if question.binary is True or (question.binary and output.name in question.binary):
            raws.append(values.tobytes())
            tensor["parameters"]["binary_data_size"] = len(raws[-1])
        else:
            tensor["data"] = _numbers(values)
        tensors.append(tensor)
    header = json.dumps(
        {"model_name": reply.model, "id": question.request_id, "outputs": tensors}
    ).encode()
    if not raws:
        return header, None
    return b"".join((header, *raws)), len(header)


def _numbers(values: NDArray[np.generic]) -> list[Any]:
    """JSON has no infinity and no NaN: a model that answers one gets null."""
    flat = values.ravel()
    if values.dtype.kind == "f" and not np.isfinite(flat).all():
        return [number if np.isfinite(number) else None for number in flat.tolist()]
    return list(flat.tolist())


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


def _values(tensor: dict[str, Any], raw: memoryview, count: int) -> NDArray[np.uint8]:
    parameters = _object(tensor, "parameters", "inputs.0.")
    if "shared_memory_region" in parameters:
        raise BadQueryError(400, "inputs.0: shared memory is not offered; send the tensor itself")
    size = parameters.get("binary_data_size")
    if size is not None:
        if size != len(raw) or size != count:
            raise BadQueryError(
                400, f"inputs.0: expected {count} raw bytes, declared {size}, got {len(raw)}"
            )
        return np.frombuffer(raw, dtype=np.uint8)
    try:
        values = np.asarray(tensor.get("data")).ravel()
    except (TypeError, ValueError, OverflowError):
        raise BadQueryError(400, "inputs.0.data: expected whole numbers from 0 to 255") from None
    if len(values) != count:
        raise BadQueryError(400, f"inputs.0.data: expected {count} numbers, got {len(values)}")
    # Neither floats nor booleans nor text that merely can be read as a number.
    if values.dtype.kind not in "iu" or not 0 <= values.min() <= values.max() <= 255:
        raise BadQueryError(400, "inputs.0.data: expected whole numbers from 0 to 255")
    return values.astype(np.uint8)


def _outputs(
    header: dict[str, Any], all_binary: bool
) -> tuple[tuple[str, ...], bool | frozenset[str]]:
    """The outputs asked for, and which of them raw."""
    entries = header.get("outputs")
    if entries is None:
        return (), all_binary
    if not isinstance(entries, list):
        raise BadQueryError(400, "outputs: expected a list of objects with a `name`")
    names, raw = [], set()
    for position, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise BadQueryError(400, f"outputs.{position}: expected an object with a `name`")
        wanted = _object(entry, "parameters", f"outputs.{position}.")
        if "shared_memory_region" in wanted:
            raise BadQueryError(400, f"outputs.{position}: shared memory is not offered")
        names.append(name)
        if wanted.get("binary_data", all_binary):
            raw.add(name)
    return tuple(names), frozenset(raw)


def _object(holder: dict[str, Any], key: str, where: str = "") -> dict[str, Any]:
    found = holder.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadQueryError(400, f"{where}{key}: expected an object")
    return found
