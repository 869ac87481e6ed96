"""Whole HTTP answers: a body of some type, JSON, and what an error looks like."""

from __future__ import annotations

import math
from typing import Any

import orjson

from serving.errors import BadQueryError, NotServedError, RefusalReason, RefusedError
from serving.http.exchange import Headers, Response, respond

__all__ = [
    "BYTES", "JSON", "QueryError", "content", "error_response", "fault", "json_content", "refusal",
]  # fmt: skip

JSON, BYTES = b"application/json", b"application/octet-stream"
REASONS = {401: "unauthorised", 408: "too_slow", 413: "too_large"}

QueryError = BadQueryError | NotServedError | RefusedError


def content(status: int, headers: Headers, kind: bytes, body: bytes) -> Response:
    """A body of content type `kind`, with `headers` beside those that describe it."""
    length = (b"content-length", b"%d" % len(body))
    return respond(status, [*headers, (b"content-type", kind), length], body)


def json_content(status: int, headers: Headers, body: dict[str, Any]) -> Response:
    """A JSON object."""
    return content(status, headers, JSON, orjson.dumps(body))


def fault(status: int, reason: str, message: str, headers: Headers) -> Response:
    """Why there is no answer."""
    return json_content(status, headers, {"error": message, "reason": reason})


def error_response(error: QueryError, headers: Headers) -> Response:
    """The answer that `error` calls for."""
    if isinstance(error, RefusedError):
        return refusal(error, headers)
    if isinstance(error, NotServedError):
        return fault(404, RefusalReason.NOT_SERVED, str(error), headers)
    return fault(error.status, REASONS.get(error.status, "bad_query"), str(error), headers)


def refusal(refused: RefusedError, headers: Headers) -> Response:
    """Why there is no answer now: whole seconds in the header, the time itself in the body."""
    whole_s = max(1, math.ceil(refused.retry_after_s))
    body = {
        "error": str(refused),
        "reason": refused.reason,
        "retry_after_s": refused.retry_after_s or whole_s,
    }
    return json_content(503, [*headers, (b"retry-after", b"%d" % whole_s)], body)
