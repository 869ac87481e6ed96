"""Reading a request's body within its limits: bytes, time, and what all callers hold together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from serving.ingress.limits import Limits
from serving.node.errors import BadQueryError, RefusedError

__all__ = ["Headers", "Receive", "Scope", "read_body"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Headers = list[tuple[bytes, bytes]]


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], limits: Limits, gathered: list[int]
) -> bytes:
    """The whole body. `gathered[0]` counts the bytes of all bodies that have come in part.

    Raises `BadQueryError` (too large, too slow, broken off) and `RefusedError` (the door holds
    too much of others).
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limits.body_bytes:
        raise BadQueryError(413, f"expected at most {limits.body_bytes} bytes, got {int(declared)}")
    message = await _next(receive)
    if not message.get("more_body", False):
        return _checked(message.get("body", b""), limits)
    try:
        async with asyncio.timeout(limits.body_s):
            return await _gather(message, receive, limits, gathered)
    except TimeoutError:
        raise BadQueryError(
            408, f"the body was not whole {limits.body_s:g} s after its headers"
        ) from None


async def _gather(
    message: MutableMapping[str, Any], receive: Receive, limits: Limits, gathered: list[int]
) -> bytes:
    body = bytearray()
    try:
        while True:
            chunk = message.get("body", b"")
            gathered[0] += len(chunk)
            body += chunk
            _checked(body, limits)
            if gathered[0] > limits.gathered_bytes:
                raise RefusedError("door_full", "too many bodies are under way; try again")
            if not message.get("more_body", False):
                return bytes(body)
            message = await _next(receive)
    finally:
        gathered[0] -= len(body)


async def _next(receive: Receive) -> MutableMapping[str, Any]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise BadQueryError(400, "the caller went away before its body was whole")
    return message


def _checked(body: Any, limits: Limits) -> Any:
    if len(body) > limits.body_bytes:
        raise BadQueryError(413, f"expected at most {limits.body_bytes} bytes")
    return body
