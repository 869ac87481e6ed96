"""How the HTTP door answers: JSON, tensors, errors, and the headers that go with them."""

from __future__ import annotations

import math
from typing import Any

import orjson

from serving.ingress.exchange import Headers, Response, respond
from serving.ingress.protocol import Reply
from serving.node.errors import BadQueryError, NotServedError, RefusedError

__all__ = [
    "HEADER_LENGTH", "QueryError", "content", "fault", "json_content", "prediction", "refusal",
    "tensors", "word_error",
]  # fmt: skip

HEADER_LENGTH = b"inference-header-content-length"
JSON, BYTES = b"application/json", b"application/octet-stream"
REASONS = {401: "unauthorised", 408: "too_slow", 413: "too_large"}

QueryError = BadQueryError | NotServedError | RefusedError


def content(status: int, named: Headers, kind: bytes, body: bytes) -> Response:
    """A body of content type `kind`, with the headers `named` beside its own."""
    length = (b"content-length", b"%d" % len(body))
    return respond(status, [*named, (b"content-type", kind), length], body)


def json_content(status: int, named: Headers, body: dict[str, Any]) -> Response:
    """A JSON object."""
    return content(status, named, JSON, orjson.dumps(body))


def fault(status: int, reason: str, message: str, named: Headers) -> Response:
    """Why there is no answer."""
    return json_content(status, named, {"error": message, "reason": reason})


def word_error(error: QueryError, named: Headers) -> Response:
    """The answer that `error` calls for."""
    if isinstance(error, RefusedError):
        return refusal(error, named)
    if isinstance(error, NotServedError):
        return fault(404, "not_served", str(error), named)
    return fault(error.status, REASONS.get(error.status, "bad_query"), str(error), named)


def refusal(refused: RefusedError, named: Headers) -> Response:
    """Why there is no answer now: whole seconds in the header, the time itself in the body."""
    whole_s = max(1, math.ceil(refused.retry_after_s))
    body = {
        "error": str(refused),
        "reason": refused.reason,
        "retry_after_s": refused.retry_after_s or whole_s,
    }
    return json_content(503, [*named, (b"retry-after", b"%d" % whole_s)], body)


def tensors(body: bytes, header_bytes: int | None, named: Headers) -> Response:
    """The protocol's JSON, with raw tensors behind its `header_bytes` if there are any."""
    if header_bytes is None:
        return content(200, named, JSON, body)
    return content(200, [*named, (HEADER_LENGTH, b"%d" % header_bytes)], BYTES, body)


def prediction(answer: Reply, named: Headers) -> Response:
    """The bytes of the one output; what they are, and which way they took, is in headers."""
    (output,) = answer.outputs
    shape = ",".join(map(str, output.values.shape))
    told = [
        (b"x-testbed-tensor", f"{output.values.dtype.str};{shape}".encode()),
        (b"x-testbed-answer", orjson.dumps(output.parameters)),
    ]
    return content(200, [*named, *told], BYTES, output.values.tobytes())
