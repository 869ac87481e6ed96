"""The HTTP door of a client node: one image and one task in, the prediction out.

  POST /v2/models/{task}/infer   body: PNG or JPEG; answer: the prediction's raw bytes
                                 body: Open Inference Protocol v2; answer: the same (`oip.py`)
  GET  /v2/models/{task}         the tensors in and out;  .../ready
  GET  /v2/health/live           200 once the process answers
  GET  /v2/health/ready          200 once a plan is in force
  GET  /v2                       the node, its plan version and tasks

To an image, the answer's tensor and its way are in the headers `x-testbed-tensor`
("dtype;d0,d1,...") and `x-testbed-answer` (JSON). A refusal is 503 with a reason; a bad query is
4xx and says what was expected. Written straight on ASGI: a framework's routing costs more than
the router itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.tasks import find_task
from serving.ingress.oip import encode_answer, parse_request, task_metadata
from serving.node.errors import BadQueryError, NotServedError, RefusedError
from serving.node.server import NodeServer, Routed

__all__ = ["MAX_BODY_BYTES", "HttpIngress"]

MAX_BODY_BYTES = 8 * 2**20
IMAGE_TYPES = ("image/png", "image/jpeg")
TENSOR_TYPES = ("application/json", "application/octet-stream")
HEADER_LENGTH = b"inference-header-content-length"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class HttpIngress:
    """ASGI application of one client node. `decode` raises `ValueError` for a bad image; `size`
    is the (height, width) of the images that the models take."""

    def __init__(
        self,
        node: NodeServer,
        decode: Callable[[bytes], NDArray[np.uint8]],
        size: tuple[int, int],
    ) -> None:
        self._node = node
        self._decode = decode
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP exchange."""
        if scope["type"] != "http":
            return
        parts = scope["path"].strip("/").split("/")
        try:
            if parts[:2] == ["v2", "models"] and parts[3:] == ["infer"]:
                await self._infer(scope, parts[2], receive, send)
            else:
                await self._about(scope, parts, send)
        except BadQueryError as error:
            await _reply_error(send, error.status, "bad_query", str(error))
        except NotServedError as error:
            await _reply_error(send, 404, "not_served", str(error))
        except RefusedError as error:
            await _reply_error(send, 503, error.reason, str(error))

    async def _infer(self, scope: Scope, task: str, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise BadQueryError(405, f"expected POST, got {scope['method']}")
        self._check_task(task)
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip()
        if kind in IMAGE_TYPES:
            body = await _read_body(receive, headers)
            try:
                image = self._decode(body)
            except ValueError as error:
                raise BadQueryError(422, str(error)) from None
            await _reply_answer(send, await self._node.answer(task, image))
        elif not kind or kind in TENSOR_TYPES:  # the protocol's own clients name no type
            await self._infer_tensor(task, await _read_body(receive, headers), headers, send)
        else:
            expected = ", ".join((*IMAGE_TYPES, *TENSOR_TYPES))
            raise BadQueryError(415, f"expected content-type one of {expected}, got {kind}")

    async def _infer_tensor(
        self, task: str, body: bytes, headers: dict[bytes, bytes], send: Send
    ) -> None:
        length = headers.get(HEADER_LENGTH)
        if length is not None and not length.isdigit():
            raise BadQueryError(400, "Inference-Header-Content-Length: expected a whole number")
        request = parse_request(body, None if length is None else int(length), self._size)
        outcomes = await asyncio.gather(
            *(self._node.answer(task, image) for image in request.images_nhw3),
            return_exceptions=True,
        )
        routed = []
        for outcome in outcomes:  # all have ended: a refused image leaves no other one behind
            if isinstance(outcome, BaseException):
                raise outcome
            routed.append(outcome)
        predictions = [answer.forwarded.served.prediction for answer in routed]
        content, header_bytes = encode_answer(request, task, predictions, _way(routed[0]))
        reply: Headers = [(b"content-type", TENSOR_TYPES[header_bytes is not None].encode())]
        if header_bytes is not None:
            reply.append((HEADER_LENGTH, str(header_bytes).encode()))
        await _reply(send, 200, reply, content)

    async def _about(self, scope: Scope, parts: list[str], send: Send) -> None:
        snapshot = self._node.snapshot()
        if parts == ["v2", "health", "live"]:
            await _reply_json(send, 200, {"live": True})
        elif parts == ["v2", "health", "ready"]:
            ready = snapshot.plan_version > 0
            await _reply_json(send, 200 if ready else 503, {"ready": ready})
        elif parts[:2] == ["v2", "models"] and parts[3:] in ([], ["ready"]):
            await self._about_task(parts[2], bool(parts[3:]), send)
        elif parts == ["v2"]:
            about = {
                "name": snapshot.node,
                "version": str(snapshot.plan_version),
                "extensions": ["binary_tensor_data"],
                "plan_version": snapshot.plan_version,
                "tasks": list(self._node.config.tasks),
            }
            await _reply_json(send, 200, about)
        else:
            raise BadQueryError(
                404, f"nothing at {scope['path']}; expected POST /v2/models/TASK/infer"
            )

    async def _about_task(self, task: str, asks_ready: bool, send: Send) -> None:
        self._check_task(task)
        if asks_ready:
            ready = bool(self._node.table.routes.get(task))
            await _reply_json(send, 200 if ready else 503, {"name": task, "ready": ready})
            return
        found = find_task(task)
        shape = found.answer_shape(*self._size)
        await _reply_json(send, 200, task_metadata(task, self._size, found.answer_dtype, shape))

    def _check_task(self, task: str) -> None:
        if task not in self._node.config.tasks:
            known = ", ".join(self._node.config.tasks)
            raise BadQueryError(404, f"there is no task {task!r}; tasks: {known}")


async def _read_body(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise BadQueryError(413, f"expected at most {MAX_BODY_BYTES} bytes, got {int(declared)}")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadQueryError(400, "the caller went away before its body was whole")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            raise BadQueryError(413, f"expected at most {MAX_BODY_BYTES} bytes")
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _reply_answer(send: Send, routed: Routed) -> None:
    served = routed.forwarded.served
    prediction = np.ascontiguousarray(served.prediction)
    shape = ",".join(str(extent) for extent in prediction.shape)
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"x-testbed-tensor", f"{prediction.dtype.str};{shape}".encode()),
        (b"x-testbed-answer", json.dumps(_way(routed)).encode()),
    ]
    await _reply(send, 200, headers, prediction.tobytes())


def _way(routed: Routed) -> dict[str, str | int | float]:
    """Which way an answer took, and where its time went."""
    served = routed.forwarded.served
    return {
        "tier": routed.target.tier,
        "node": routed.target.node,
        "model": routed.target.model,
        "plan_version": routed.plan_version,
        "batch_size": served.batch_size,
        "bound_s": routed.bound_s,
        "queue_s": served.queue_s,
        "batch_wait_s": served.batch_wait_s,
        "compute_s": served.compute_s,
        "link_s": routed.forwarded.link_s,
    }


async def _reply_error(send: Send, status: int, reason: str, message: str) -> None:
    await _reply_json(send, status, {"error": message, "reason": reason})


async def _reply_json(send: Send, status: int, body: dict[str, Any]) -> None:
    headers: Headers = [(b"content-type", b"application/json")]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await _reply(send, status, headers, json.dumps(body).encode())


async def _reply(send: Send, status: int, headers: Headers, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
