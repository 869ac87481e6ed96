"""How the HTTP door answers a request for inference: tensors, and the headers that go with them."""

from __future__ import annotations

import orjson

from serving.http.exchange import Headers, Response
from serving.http.responses import BYTES, JSON, content
from serving.ingress.inference_protocol import InferenceResponse

__all__ = ["HEADER_LENGTH", "prediction", "tensors"]

HEADER_LENGTH = b"inference-header-content-length"


def tensors(body: bytes, header_bytes: int | None, headers: Headers) -> Response:
    """The protocol's JSON, with raw tensors behind its `header_bytes` if there are any."""
    if header_bytes is None:
        return content(200, headers, JSON, body)
    return content(200, [*headers, (HEADER_LENGTH, b"%d" % header_bytes)], BYTES, body)


def prediction(answer: InferenceResponse, headers: Headers) -> Response:
    """The bytes of the one output; what they are, and which way they took, is in headers."""
    (output,) = answer.outputs
    shape = ",".join(map(str, output.values.shape))
    told = [
        (b"x-testbed-tensor", f"{output.values.dtype.str};{shape}".encode()),
        (b"x-testbed-answer", orjson.dumps(output.parameters)),
    ]
    return content(200, [*headers, *told], BYTES, output.values.tobytes())
