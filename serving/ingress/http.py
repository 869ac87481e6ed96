"""The HTTP door of a client node: an image or a tensor in, predictions out.

  POST /v2/models/{model}/infer  body: PNG or JPEG; answer: the prediction's raw bytes
                                 body: Open Inference Protocol v2; answer: the same (`oip.py`)
  GET  /v2/models/{model}        the tensors in and out;  .../ready;  .../stats
  GET  /v2/models/stats          statistics of every model;  /v2/callers: requests by caller
  GET  /v2/health/live, ready    200 once the process answers; once a plan is in force
  GET  /v2                       the node, its plan version and tasks

`docs/protocol.md` has headers, errors and limits. Written straight on ASGI: a framework's routing
costs more than the router itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import numpy as np
from numpy.typing import NDArray

from serving.ingress.bodies import Headers, Receive, Scope, read_body
from serving.ingress.door import Door
from serving.ingress.limits import DoorConfig
from serving.ingress.oip import encode_reply, parse_question
from serving.ingress.pictures import PictureDecoder
from serving.ingress.protocol import ALL, Question, read_timeout_s
from serving.ingress.replies import HEADER_LENGTH, ReplyWriter, Send, over_asgi, word_refusal
from serving.node.errors import BadQueryError, NotServedError, RefusedError

__all__ = ["IMAGE_TYPES", "TENSOR_TYPES", "HttpIngress", "Page"]

IMAGE_TYPES = ("image/png", "image/jpeg")
TENSOR_TYPES = ("application/json", "application/octet-stream")
REASONS = {401: "unauthorised", 408: "too_slow", 413: "too_large"}

Page = Callable[[], tuple[str, bytes]]
"""content type and body of a page that the door serves beside the protocol"""


class HttpIngress:
    """ASGI application of one client node. `decode` raises `ValueError` for a bad image; `pages`
    maps further paths to what GET finds there."""

    def __init__(
        self,
        door: Door,
        decode: Callable[[bytes], NDArray[np.uint8]],
        config: DoorConfig | None = None,
        pages: Mapping[str, Page] | None = None,
    ) -> None:
        self._door = door
        self._config = config or DoorConfig()
        self._pictures = PictureDecoder(decode, self._config.limits)
        self._pages = dict(pages or {})
        self._gathered = [0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP exchange."""
        if scope["type"] != "http":
            return
        connection = scope.get("connection")
        if connection is None:
            reply = ReplyWriter(over_asgi(send))
        else:
            connection.running = asyncio.current_task()
            reply = ReplyWriter(connection.reply)
        headers = dict(scope["headers"])
        try:
            if not self._config.admits(headers.get(b"authorization")):
                reply.headers.append((b"www-authenticate", b"Bearer"))
                raise BadQueryError(401, "this door asks for `Authorization: Bearer TOKEN`")
            request_id = headers.get(b"x-request-id")
            if request_id is not None:
                reply.headers.append((b"x-request-id", _printable(request_id, "x-request-id")))
            parts = scope["path"].strip("/").split("/")
            if _is_inference(parts):
                self._door.check_model(parts[2], _version(parts))
                await self._infer(scope, parts[2], headers, reply, receive)
            else:
                await self._about(scope, parts, reply)
        except BadQueryError as error:
            reason = REASONS.get(error.status, "bad_query")
            await reply.error(error.status, reason, str(error))
        except NotServedError as error:
            await reply.error(404, "not_served", str(error))
        except RefusedError as error:
            await reply.refusal(error)
        except asyncio.CancelledError:
            # The caller went away, and its queries were withdrawn: nobody waits for a reply.
            if connection is None or not connection.lost:
                raise

    def turn_away(self, scope: Scope) -> tuple[int, Headers, bytes] | None:
        """The answer to a query that is refused whatever its body says; None if it is to be read.

        Under overload most of the door's work would be the reading of queries that it refuses.
        """
        if not self._door.pressed:
            return None
        parts = scope["path"].strip("/").split("/")
        if scope["method"] != "POST" or not _is_inference(parts) or _version(parts):
            return None
        headers = dict(scope["headers"])
        if not self._config.admits(headers.get(b"authorization")):
            return None
        try:
            caller, request_id = _caller(headers, ""), headers.get(b"x-request-id")
            named = (
                [(b"x-request-id", _printable(request_id, "x-request-id"))] if request_id else []
            )
        except BadQueryError:
            return None
        refusal = self._door.turn_away(parts[2], caller)
        if refusal is None:
            return None
        said, body = word_refusal(refusal)
        return 503, named + said, body

    async def _infer(
        self,
        scope: Scope,
        model: str,
        headers: dict[bytes, bytes],
        reply: ReplyWriter,
        receive: Receive,
    ) -> None:
        if scope["method"] != "POST":
            reply.headers.append((b"allow", b"POST"))
            raise BadQueryError(405, f"expected POST, got {scope['method']}")
        encoding = headers.get(b"content-encoding", b"identity")
        if encoding != b"identity":
            raise BadQueryError(415, "content-encoding: expected none; send the body as it is")
        kind = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
        if kind in IMAGE_TYPES:
            body = await read_body(receive, headers, self._config.limits, self._gathered)
            image = await self._pictures.decode(body)
            question = self._picture(scope, model, image, headers)
        elif not kind or kind in TENSOR_TYPES:  # the protocol's own clients name no type
            body = await read_body(receive, headers, self._config.limits, self._gathered)
            question = self._tensor(body, headers)
        else:
            expected = ", ".join((*IMAGE_TYPES, *TENSOR_TYPES))
            raise BadQueryError(415, f"expected content-type one of {expected}, got {kind}")
        answer = await self._door.answer(model, question)
        if kind in IMAGE_TYPES and model != ALL:
            await reply.prediction(answer)
            return
        await reply.tensors(*encode_reply(question, answer))

    def _picture(
        self, scope: Scope, model: str, image: NDArray[np.uint8], headers: dict[bytes, bytes]
    ) -> Question:
        return Question(
            images_nhw3=image[np.newaxis],
            outputs=_outputs(scope) if model == ALL else (),
            binary=True,
            request_id=headers.get(b"x-request-id", b"").decode("latin-1"),
            timeout_s=_timeout_s(headers, None),
            caller=_caller(headers, ""),
        )

    def _tensor(self, body: bytes, headers: dict[bytes, bytes]) -> Question:
        length = headers.get(HEADER_LENGTH)
        if length is not None and not (length.isdigit() and len(length) < 12):
            raise BadQueryError(400, "Inference-Header-Content-Length: expected a whole number")
        asked = parse_question(
            body, None if length is None else int(length), self._door.size, self._config.limits
        )
        return Question(
            images_nhw3=asked.images_nhw3,
            batched=asked.batched,
            outputs=asked.outputs,
            binary=asked.binary,
            request_id=asked.request_id,
            timeout_s=_timeout_s(headers, asked.timeout_s),
            caller=_caller(headers, asked.caller),
        )

    async def _about(self, scope: Scope, parts: list[str], reply: ReplyWriter) -> None:
        page = self._pages.get(scope["path"])
        status, found = (200, {}) if page else self._describe(scope["path"], parts)
        if scope["method"] not in ("GET", "HEAD"):
            reply.headers.append((b"allow", b"GET, HEAD"))
            raise BadQueryError(405, f"expected GET, got {scope['method']}")
        if page is not None:
            kind, content = page()
            await reply.content(200, kind.encode(), content)
        elif status == 200:
            await reply.json(200, found)
        else:
            await reply.unready(found)

    def _describe(self, path: str, parts: list[str]) -> tuple[int, dict[str, Any]]:
        """Status and body of what is not inference. Raises `BadQueryError` if there is nothing."""
        door = self._door
        match parts:
            case ["v2"]:
                return 200, door.describe()
            case ["v2", "health", "live"]:
                return 200, {"live": True}
            case ["v2", "health", "ready"]:
                return (200 if door.ready else 503), {"ready": door.ready}
            case ["v2", "callers"]:
                return 200, door.callers()
            case ["v2", "models", "stats"]:
                return 200, door.statistics()
            case ["v2", "models", model, *rest] if rest[:1] != ["versions"] or len(rest) > 1:
                door.check_model(model, _version(parts))
                about = rest[2:] if rest[:1] == ["versions"] else rest
                if about == []:
                    return 200, door.describe_model(model)
                if about == ["ready"]:
                    ready = door.model_ready(model)
                    return (200 if ready else 503), {"name": model, "ready": ready}
                if about == ["stats"]:
                    return 200, door.statistics(model)
        raise BadQueryError(
            404, f"nothing at {path[:200]}; expected POST /v2/models/TASK/infer, or see /docs"
        )


def _is_inference(parts: list[str]) -> bool:
    if parts[:2] != ["v2", "models"] or parts[-1] != "infer":
        return False
    return len(parts) == 4 or (len(parts) == 6 and parts[3] == "versions")


def _version(parts: list[str]) -> str:
    return parts[4] if len(parts) > 4 and parts[3] == "versions" else ""


def _outputs(scope: Scope) -> tuple[str, ...]:
    """The tasks that a picture's URL names: `?outputs=depth,normals`."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=None)
    return tuple(name for names in query.get("outputs", ()) for name in names.split(",") if name)


def _timeout_s(headers: dict[bytes, bytes], asked_s: float | None) -> float | None:
    """The earlier of the request's own time-out and the header's."""
    text = headers.get(b"x-deadline-ms")
    if text is None:
        return asked_s
    try:
        value: Any = float(text)
    except ValueError:
        value = text.decode("latin-1")
    header_s = read_timeout_s(value, 1e-3, "x-deadline-ms")
    return header_s if asked_s is None else min(asked_s, header_s)


def _caller(headers: dict[bytes, bytes], asked: str) -> str:
    name = headers.get(b"x-client-id")
    return asked[:128] if name is None else _printable(name, "x-client-id").decode()


def _printable(value: bytes, where: str) -> bytes:
    if len(value) > 128 or not (value.isascii() and value.decode("latin-1").isprintable()):
        raise BadQueryError(400, f"{where}: expected at most 128 printable ASCII characters")
    return value
