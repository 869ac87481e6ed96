"""How the HTTP door answers: JSON, tensors, errors, and the headers that go with them."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from serving.ingress.bodies import Headers
from serving.ingress.protocol import Reply
from serving.node.errors import RefusedError

__all__ = ["HEADER_LENGTH", "ReplyWriter", "Send", "Write", "over_asgi", "word_refusal"]

HEADER_LENGTH = b"inference-header-content-length"

Send = Callable[..., Awaitable[None]]
Write = Callable[[int, Headers, bytes], Awaitable[None]]
"""sends a status, headers and a body as the whole answer"""


def over_asgi(send: Send) -> Write:
    """The way of any ASGI server; `GuardedConnection.reply` does the same in one write."""

    async def write(status: int, headers: Headers, body: bytes) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return write


def word_refusal(refusal: RefusedError) -> tuple[Headers, bytes]:
    """Headers and body of a 503; whole seconds in the header, the time itself in the body."""
    whole_s = max(1, math.ceil(refusal.retry_after_s))
    began = _begin_refusal(refusal.reason, str(refusal))
    body = b"%s%a}" % (began, refusal.retry_after_s or whole_s)
    return [
        (b"retry-after", b"%d" % whole_s),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ], body


@lru_cache(maxsize=64)
def _begin_refusal(reason: str, message: str) -> bytes:
    """The JSON of a refusal up to its time: under overload the same few are said all the time."""
    said = json.dumps({"error": message, "reason": reason}).removesuffix("}")
    return f'{said}, "retry_after_s": '.encode()


class ReplyWriter:
    """The answer to one request. `headers` go out with whatever it turns out to be."""

    __slots__ = ("_write", "headers")

    def __init__(self, write: Write) -> None:
        self._write = write
        self.headers: Headers = []

    async def content(self, status: int, kind: bytes, body: bytes) -> None:
        """A body of content type `kind`."""
        self.headers += ((b"content-type", kind), (b"content-length", b"%d" % len(body)))
        await self._write(status, self.headers, body)

    async def json(self, status: int, body: dict[str, Any]) -> None:
        """A JSON object."""
        await self.content(status, b"application/json", json.dumps(body).encode())

    async def error(self, status: int, reason: str, message: str) -> None:
        """Why there is no answer."""
        await self.json(status, {"error": message, "reason": reason})

    async def refusal(self, refusal: RefusedError) -> None:
        """Why there is no answer now."""
        headers, body = word_refusal(refusal)
        await self._write(503, self.headers + headers, body)

    async def unready(self, body: dict[str, Any]) -> None:
        """Not yet, says a health check."""
        self.headers.append((b"retry-after", b"1"))
        await self.json(503, body)

    async def tensors(self, content: bytes, header_bytes: int | None) -> None:
        """The protocol's JSON, with raw tensors behind its `header_bytes` if there are any."""
        if header_bytes is None:
            await self.content(200, b"application/json", content)
            return
        self.headers.append((HEADER_LENGTH, b"%d" % header_bytes))
        await self.content(200, b"application/octet-stream", content)

    async def prediction(self, answer: Reply) -> None:
        """The bytes of the one output; what they are, and which way they took, is in headers."""
        (output,) = answer.outputs
        shape = ",".join(map(str, output.values.shape))
        self.headers += (
            (b"x-testbed-tensor", f"{output.values.dtype.str};{shape}".encode()),
            (b"x-testbed-answer", json.dumps(output.parameters).encode()),
        )
        await self.content(200, b"application/octet-stream", output.values.tobytes())
