"""The Open Inference Protocol v2 over gRPC: requests and responses as protobuf, without any I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.errors import BadQueryError
from serving.http.limits import Limits
from serving.ingress.inference_protocol import (
    InferenceRequest,
    InferenceResponse,
    TensorSpec,
    check_shape,
    check_wanted,
    datatype_of,
    optional_text,
    read_timeout_s,
    shown,
)
from serving.ingress.oip_names import INPUT, VERSION
from serving.ingress.protobuf_types import message

__all__ = ["encode_response", "encode_statistics", "encode_tensor", "parse_request"]

RAW_OUTPUT = b"\x32"
"""`raw_output_contents`, field 6, as bytes of a length that follows"""
_Response = message("ModelInferResponse")
_Metadata = message("ModelMetadataResponse")
_Statistics = message("ModelStatisticsResponse")


def parse_request(
    request: Any, raws: Sequence[memoryview], size: tuple[int, int], limits: Limits
) -> InferenceRequest:
    """Read a `ModelInferRequest`, whose `raw_input_contents` are `raws`; `size` is the (height,
    width) that the models take. Raises `BadQueryError` that says what was expected."""
    if len(request.inputs) != 1:
        raise BadQueryError(400, f"expected `inputs` with one tensor, {INPUT!r}")
    (tensor,) = request.inputs
    if tensor.name != INPUT or tensor.datatype != "UINT8":
        raise BadQueryError(
            400,
            f"inputs.0: expected {INPUT!r} of datatype UINT8, got {shown(tensor.name)} of "
            f"{shown(tensor.datatype)}",
        )
    if "shared_memory_region" in tensor.parameters:
        raise BadQueryError(400, "inputs.0: shared memory is not offered; send the tensor itself")
    for position, output in enumerate(request.outputs):
        check_wanted(output.parameters, f"outputs.{position}")
    shape = check_shape(list(tensor.shape), size, limits.images)
    parameters = {key: _value(entry) for key, entry in request.parameters.items()}
    timeout = parameters.get("timeout")
    return InferenceRequest(
        images_nhw3=_values(raws, tensor, math.prod(shape)).reshape((-1, *size, 3)),
        batched=len(shape) == 4,
        outputs=tuple(output.name for output in request.outputs),
        request_id=request.id,
        timeout_s=None if timeout is None else read_timeout_s(timeout, 1e-6, "parameters.timeout"),
        caller=optional_text(parameters.get("client_id"), "parameters.client_id")[:128],
    )


def encode_response(request: InferenceRequest, answer: InferenceResponse) -> bytes:
    """The `ModelInferResponse`, serialized; every tensor is raw, and copied once. By way of
    protobuf's own message each would be copied three times."""
    response = _Response(model_name=answer.model, model_version=VERSION, id=request.request_id)
    raws: list[Any] = []
    for output in answer.outputs:
        tensor = response.outputs.add(
            name=output.name,
            datatype=datatype_of(output.values),
            shape=output.values.shape,
        )
        _set_parameters(tensor.parameters, output.parameters)
        values = np.ascontiguousarray(output.values)
        raws += (RAW_OUTPUT + _varint(values.nbytes), values.reshape(-1).view(np.uint8))
    return b"".join((response.SerializeToString(), *raws))


def encode_tensor(spec: TensorSpec) -> Any:
    """A tensor of `ModelMetadataResponse`."""
    return _Metadata.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)


def encode_statistics(statistics: Mapping[str, Any]) -> Any:
    """The `ModelStatisticsResponse` of what `Door.statistics` says; the field names are one."""
    return _Statistics(**statistics)


def _values(raws: Sequence[memoryview], tensor: Any, count: int) -> NDArray[np.uint8]:
    if raws:
        if len(raws) != 1 or len(raws[0]) != count:
            sizes = [len(raw) for raw in raws]
            raise BadQueryError(
                400, f"raw_input_contents: expected one of {count} bytes, got {shown(sizes)}"
            )
        return np.frombuffer(raws[0], dtype=np.uint8)
    values = np.array(tensor.contents.uint_contents, dtype=np.uint32)
    if len(values) != count or (count and values.max() > 255):
        raise BadQueryError(
            400, f"inputs.0.contents.uint_contents: expected {count} numbers from 0 to 255"
        )
    return values.astype(np.uint8)


def _varint(number: int) -> bytes:
    groups = [number >> shift & 0x7F for shift in range(0, max(1, number.bit_length()), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _value(parameter: Any) -> Any:
    kind = parameter.WhichOneof("parameter_choice")
    return None if kind is None else getattr(parameter, kind)


def _set_parameters(into: Any, parameters: Mapping[str, str | int | float]) -> None:
    for key, value in parameters.items():
        if isinstance(value, str):
            into[key].string_param = value
        elif isinstance(value, int):
            into[key].int64_param = value
        else:
            into[key].double_param = value
