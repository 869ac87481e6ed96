"""The HTTP door of a client node: an image or a tensor in, predictions out.

  POST /v2/models/{model}/infer  body: PNG or JPEG; answer: the prediction's raw bytes
                                 body: Open Inference Protocol v2; answer: the same (`oip.py`)
  GET  /v2/models/{model}        the tensors in and out;  .../ready;  .../stats
  GET  /v2/models/stats          statistics of every model;  /v2/callers: requests by caller
  GET  /v2/health/live, ready    200 once the process answers; once a plan is in force
  GET  /v2                       the node, its plan version and tasks

`docs/protocol.md` has headers, errors and limits. A framework's routing would cost more than the
router itself.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import numpy as np

from serving.errors import BadQueryError, NotServedError, RefusedError
from serving.http.exchange import Begin, Body, Exchange, Head, Headers, Response
from serving.http.responses import content, error_response, json_content
from serving.ingress.access import DoorConfig
from serving.ingress.door import Door
from serving.ingress.http_responses import HEADER_LENGTH, prediction, tensors
from serving.ingress.image_decoding import Decode, PictureDecoder
from serving.ingress.inference_protocol import InferenceRequest, read_timeout_s
from serving.ingress.oip_json import encode_in_slices, parse_request
from serving.ingress.oip_names import ALL
from serving.routing.early_refusal import StandingRefusal

__all__ = ["IMAGE_TYPES", "TENSOR_TYPES", "HttpApi", "Page"]

IMAGE_TYPES = ("image/png", "image/jpeg")
TENSOR_TYPES = ("application/json", "application/octet-stream")

Page = Callable[[], tuple[str, bytes]]
"""content type and body of a page that the door serves beside the protocol"""


class _Query(NamedTuple):
    """What the head of a request for inference says."""

    model: str
    kind: str
    request_id: str
    caller: str
    """"" if the head names none"""
    timeout_s: float | None
    outputs: tuple[str, ...]
    """tasks that a picture's URL names"""
    header_bytes: int | None
    """of JSON before raw tensors"""
    traceparent: str
    """"" if the head has none"""


class _Inference:
    """Begins the exchange of each query that comes with one head, or turns it away.

    `refuse_early` is `Door.refuse_early` of that head. A refusal that stands is said again in the
    same bytes, unless the caller is to be counted by name.
    """

    __slots__ = ("_anonymous", "_exchange", "_refuse_early", "_said")

    def __init__(
        self,
        refuse_early: Callable[[], StandingRefusal | None],
        exchange: Exchange,
        anonymous: bool,
    ) -> None:
        self._refuse_early = refuse_early
        self._exchange = exchange
        self._anonymous = anonymous
        self._said: tuple[StandingRefusal, Response] | None = None

    def __call__(self) -> Response | Exchange:
        if self._said is not None and self._said[0].repeat():
            return self._said[1]
        standing = self._refuse_early()
        if standing is None:
            return self._exchange
        response = error_response(standing.refusal, self._exchange.headers)
        self._said = (standing, response) if self._anonymous else None
        return response


class HttpApi:
    """The application of one client node's HTTP door. `decode` makes an array of a picture, `pages`
    maps further paths to what GET finds there."""

    def __init__(
        self,
        door: Door,
        decode: Decode,
        config: DoorConfig | None = None,
        pages: Mapping[str, Page] | None = None,
    ) -> None:
        self._door = door
        self._config = config or DoorConfig()
        self._pictures = PictureDecoder(decode, self._config.limits)
        self._pages = dict(pages or {})

    def read(self, head: Head) -> Begin:
        """See `Application`. Whatever is wrong with a head is said before its body is read.

        So is that a query would be refused whatever its body says: under overload most of the
        door's work would be the reading of queries that it refuses.
        """
        answer_headers: Headers = []
        try:
            return self._read(head, answer_headers)
        except BadQueryError as error:
            return partial(error_response, error.with_traceback(None), answer_headers)

    def _read(self, head: Head, answer_headers: Headers) -> Begin:
        if not self._config.admits(head.headers.get(b"authorization")):
            answer_headers.append((b"www-authenticate", b"Bearer"))
            raise BadQueryError(401, "this door asks for `Authorization: Bearer TOKEN`")
        request_id = head.headers.get(b"x-request-id")
        if request_id is not None:
            answer_headers.append((b"x-request-id", _printable(request_id, "x-request-id")))
        parts = _split_path(head.path)
        if not _is_inference(parts):
            return partial(self._tell, head, parts, answer_headers)
        self._door.check_model(parts[2], _version(parts))
        query = _read_query(head, parts[2], answer_headers)
        exchange = Exchange(answer_headers, partial(self._answer, query, answer_headers))
        refuse_early = partial(self._door.refuse_early, query.model, query.caller)
        return _Inference(refuse_early, exchange, anonymous=not query.caller)

    async def _answer(self, query: _Query, answer_headers: Headers, body: Body) -> Response:
        try:
            return await self._infer(query, answer_headers, body)
        except (BadQueryError, NotServedError, RefusedError) as error:
            return error_response(error, answer_headers)

    async def _infer(self, query: _Query, answer_headers: Headers, body: Body) -> Response:
        traced = self._door.traced
        received_s = self._door.now_s() if traced else None
        if query.kind in IMAGE_TYPES:
            request = InferenceRequest(
                images_nhw3=(
                    await self._pictures.decode(body if isinstance(body, bytes) else bytes(body))
                )[np.newaxis],
                outputs=query.outputs,
                binary=True,
                request_id=query.request_id,
                timeout_s=query.timeout_s,
                caller=query.caller,
                traceparent=query.traceparent,
                received_s=received_s,
            )
            answer = await self._door.answer(query.model, request)
            if query.model != ALL:
                return prediction(answer, answer_headers)
        else:
            request = parse_request(
                body, query.header_bytes, self._door.size, self._config.limits
            ).within(query.timeout_s, query.caller)
            if traced:
                request = request._replace(traceparent=query.traceparent, received_s=received_s)
            answer = await self._door.answer(query.model, request)
        work = encode_in_slices(request, answer)
        while True:
            try:
                next(work)
            except StopIteration as done:
                written, header_bytes = done.value
                return tensors(written, header_bytes, answer_headers)
            await asyncio.sleep(0)  # numbers of many pictures: others have their turn

    def _tell(self, head: Head, parts: tuple[str, ...], answer_headers: Headers) -> Response:
        answer_headers = list(answer_headers)
        try:
            return self._about(head, parts, answer_headers)
        except (BadQueryError, NotServedError, RefusedError) as error:
            return error_response(error, answer_headers)

    def _about(self, head: Head, parts: tuple[str, ...], answer_headers: Headers) -> Response:
        page = self._pages.get(head.path)
        status, found = (200, {}) if page else self._describe(head.path, parts)
        if head.method not in ("GET", "HEAD"):
            answer_headers.append((b"allow", b"GET, HEAD"))
            raise BadQueryError(405, f"expected GET, got {head.method}")
        if page is not None:
            kind, body = page()
            return content(200, answer_headers, kind.encode(), body)
        if status != 200:  # not yet, says a health check
            answer_headers.append((b"retry-after", b"1"))
        return json_content(status, answer_headers, found)

    def _describe(self, path: str, parts: tuple[str, ...]) -> tuple[int, dict[str, Any]]:
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


def _read_query(head: Head, model: str, answer_headers: Headers) -> _Query:
    """Raises `BadQueryError`."""
    headers = head.headers
    if head.method != "POST":
        answer_headers.append((b"allow", b"POST"))
        raise BadQueryError(405, f"expected POST, got {head.method}")
    if headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity"):
        raise BadQueryError(415, "content-encoding: expected none; send the body as it is")
    kind = _media_type(headers.get(b"content-type", b""))
    # The protocol's own clients name no type.
    if kind and kind not in IMAGE_TYPES and kind not in TENSOR_TYPES:
        expected = ", ".join((*IMAGE_TYPES, *TENSOR_TYPES))
        raise BadQueryError(415, f"expected content-type one of {expected}, got {kind}")
    length = headers.get(HEADER_LENGTH)
    if length is not None and not (length.isdigit() and len(length) < 12):
        raise BadQueryError(400, "Inference-Header-Content-Length: expected a whole number")
    caller = headers.get(b"x-client-id")
    deadline = headers.get(b"x-deadline-ms")
    return _Query(
        model=model,
        kind=kind,
        request_id=headers.get(b"x-request-id", b"").decode("latin-1"),
        caller="" if caller is None else _printable(caller, "x-client-id").decode(),
        timeout_s=None if deadline is None else _read_deadline_s(deadline),
        outputs=_outputs(head.query) if model == ALL else (),
        header_bytes=None if length is None else int(length),
        traceparent=headers.get(b"traceparent", b"").decode("latin-1"),
    )


def _is_inference(parts: tuple[str, ...]) -> bool:
    if parts[:2] != ("v2", "models") or parts[-1] != "infer":
        return False
    return len(parts) == 4 or (len(parts) == 6 and parts[3] == "versions")


def _version(parts: tuple[str, ...]) -> str:
    return parts[4] if len(parts) > 4 and parts[3] == "versions" else ""


@lru_cache(maxsize=64)
def _split_path(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))


@lru_cache(maxsize=64)
def _media_type(content_type: bytes) -> str:
    return content_type.decode("latin-1").split(";")[0].strip().lower()


def _outputs(query: bytes) -> tuple[str, ...]:
    """The tasks that a picture's URL names: `?outputs=depth,normals`."""
    asked = parse_qs(query.decode("latin-1"), max_num_fields=None)
    return tuple(name for names in asked.get("outputs", ()) for name in names.split(",") if name)


def _read_deadline_s(text: bytes) -> float:
    value: Any = text.decode("latin-1")
    if re.fullmatch(r"\d{1,12}(\.\d{1,12})?", value):  # float() also reads 1_000 and infinity
        value = float(value)
    return read_timeout_s(value, 1e-3, "x-deadline-ms")


def _printable(value: bytes, where: str) -> bytes:
    if len(value) > 128 or not (value.isascii() and value.decode("latin-1").isprintable()):
        raise BadQueryError(400, f"{where}: expected at most 128 printable ASCII characters")
    return value
