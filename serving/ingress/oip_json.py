"""The Open Inference Protocol v2 over HTTP: requests and responses as bytes, without any I/O.

Tensors are JSON numbers, or raw bytes behind the JSON header, whose length then is in
`Inference-Header-Content-Length`. Outputs come back raw where the request asks for that.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from serving.errors import BadQueryError
from serving.http.limits import Limits
from serving.ingress.inference_protocol import (
    InferenceRequest,
    InferenceResponse,
    check_shape,
    check_wanted,
    datatype_of,
    optional_text,
    read_timeout_s,
    shown,
)
from serving.ingress.oip_names import INPUT, VERSION

__all__ = ["encode_in_slices", "parse_request"]


MOST_CONTAINERS = 16_384
"""lists and objects of a request: a picture of 96 x 96 as rows of pixels has 9,313. Python's
collector of cycles goes through each of them while the event loop waits"""
SLICE = 16_384
"""numbers of an answer that are written at once, in a millisecond or so"""
REMEMBERED_BYTES = 1_024
"""the longest JSON header that is kept: callers send the same one with every raw tensor"""


class _Asked(NamedTuple):
    """What the JSON of a request says; its tensor's values are read apart."""

    shape: tuple[int, ...]
    raw_bytes: Any
    """declared length of the raw tensor; None for numbers"""
    numbers: Any
    truth_values: bool
    """whether there are any in the JSON: among numbers they would count as 0 and 1"""
    outputs: tuple[str, ...]
    binary: bool | frozenset[str]
    request_id: str
    timeout_s: float | None
    caller: str


def parse_request(
    body: bytes | memoryview, header_bytes: int | None, size: tuple[int, int], limits: Limits
) -> InferenceRequest:
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
    if header_bytes is not None and header_bytes <= REMEMBERED_BYTES:
        asked = _read_again(bytes(body[:header_bytes]), size, limits.images)
    else:
        asked = _read_asked(body[:header_bytes], size, limits.images)
    raw = memoryview(body)[written:]
    return InferenceRequest(
        images_nhw3=_values(asked, raw).reshape((-1, *size, 3)),
        batched=len(asked.shape) == 4,
        outputs=asked.outputs,
        binary=asked.binary,
        request_id=asked.request_id,
        timeout_s=asked.timeout_s,
        caller=asked.caller,
    )


def _read_asked(text: bytes | memoryview, size: tuple[int, int], most_images: int) -> _Asked:
    raw = bytes(text)
    if raw.count(b"[") + raw.count(b"{") > MOST_CONTAINERS:
        raise BadQueryError(
            413,
            f"expected at most {MOST_CONTAINERS} lists and objects of JSON; send numbers as one "
            "flat list, or raw tensors",
        )
    try:
        header = orjson.loads(raw)
    except ValueError as error:
        raise BadQueryError(400, f"the request is not JSON: {error}") from None
    tensor = _only_input(header)
    about = _object(tensor, "parameters", "inputs.0.")
    if "shared_memory_region" in about:
        raise BadQueryError(400, "inputs.0: shared memory is not offered; send the tensor itself")
    parameters = _object(header, "parameters")
    outputs, binary = _outputs(header, bool(parameters.get("binary_data_output")))
    timeout = parameters.get("timeout")
    return _Asked(
        shape=check_shape(tensor.get("shape"), size, most_images),
        raw_bytes=about.get("binary_data_size"),
        numbers=tensor.get("data"),
        truth_values=b"true" in raw or b"false" in raw,
        outputs=outputs,
        binary=binary,
        request_id=optional_text(header.get("id"), "id"),
        timeout_s=None if timeout is None else read_timeout_s(timeout, 1e-6, "parameters.timeout"),
        caller=optional_text(parameters.get("client_id"), "parameters.client_id")[:128],
    )


_read_again = lru_cache(maxsize=256)(_read_asked)


def encode_in_slices(
    request: InferenceRequest, response: InferenceResponse
) -> Generator[None, None, tuple[bytes, int | None]]:
    """The answer's body, and the length of its JSON header if raw tensors follow it.

    Stops after every `SLICE` numbers, so that others may have their turn. Numbers that JSON cannot
    say (infinity, NaN) are null.
    """
    about: dict[str, Any] = {
        "model_name": response.model,
        "model_version": VERSION,
        "id": request.request_id,
    }
    parts, raws = [orjson.dumps(about)[:-1], b',"outputs":['], []
    for place, output in enumerate(response.outputs):
        values = output.values
        about = {"name": output.name, "datatype": datatype_of(values), "shape": values.shape}
        parts += (b"," if place else b"", orjson.dumps(about)[:-1])
        parameters: Mapping[str, str | int | float] = output.parameters
        if request.binary is True or (request.binary and output.name in request.binary):
            raws.append(values.tobytes())
            parameters = {**parameters, "binary_data_size": len(raws[-1])}
        else:
            parts.append(b',"data":[')
            numbers = values.ravel()
            for start in range(0, len(numbers), SLICE):
                if start:
                    yield
                    parts.append(b",")
                parts.append(orjson.dumps(numbers[start : start + SLICE].tolist())[1:-1])
            parts.append(b"]")
        parts += (b',"parameters":', orjson.dumps(parameters), b"}")
    parts.append(b"]}")
    if not raws:
        return b"".join(parts), None
    return b"".join((*parts, *raws)), sum(map(len, parts))


def _only_input(header: Any) -> dict[str, Any]:
    inputs = header.get("inputs") if isinstance(header, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadQueryError(400, f"expected `inputs` with one tensor, {INPUT!r}")
    tensor = inputs[0]
    if tensor.get("name") != INPUT or tensor.get("datatype") != "UINT8":
        raise BadQueryError(
            400,
            f"inputs.0: expected {INPUT!r} of datatype UINT8, got {shown(tensor.get('name'))} of "
            f"{shown(tensor.get('datatype'))}",
        )
    return tensor


def _values(asked: _Asked, raw: memoryview) -> NDArray[np.uint8]:
    count = math.prod(asked.shape)
    if asked.raw_bytes is not None:
        if asked.raw_bytes != len(raw) or asked.raw_bytes != count:
            raise BadQueryError(
                400,
                f"inputs.0: expected {count} raw bytes, declared {shown(asked.raw_bytes)}, "
                f"got {len(raw)}",
            )
        return np.frombuffer(raw, dtype=np.uint8)
    return np.frombuffer(_whole_numbers(asked.numbers, count, asked.truth_values), dtype=np.uint8)


def _whole_numbers(data: Any, count: int, truth_values: bool) -> bytes:
    """`count` numbers from 0 to 255 of a list, or of lists in lists.

    They are counted before anything is made of them: an array of texts takes as much for each as
    the longest does.
    """
    wanted = BadQueryError(400, "inputs.0.data: expected whole numbers from 0 to 255")
    if not isinstance(data, list):
        raise wanted
    flat = data
    while flat and type(flat[0]) is list:
        if any(type(inside) is not list for inside in flat):
            raise wanted
        flat = list(chain.from_iterable(flat))
    if len(flat) != count:
        raise BadQueryError(400, f"inputs.0.data: expected {count} numbers, got {len(flat)}")
    if truth_values and any(type(number) is bool for number in flat):
        raise wanted
    try:
        return bytes(flat)
    except (TypeError, ValueError, OverflowError):
        raise wanted from None


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
        check_wanted(wanted, f"outputs.{position}")
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
