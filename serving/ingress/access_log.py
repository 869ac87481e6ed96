"""The access log: one line for each request at a client node's doors, HTTP and gRPC alike.

    http 127.0.0.1:40112 shop POST /v2/models/depth/infer 200 12.3 ms edge-0
    grpc 127.0.0.1:40114 - ModelInfer depth UNAVAILABLE 0.4 ms -

Door, caller's address, the name that the caller gave itself, request, outcome, time from its head
to its answer, and the nodes that answered. Off unless asked for; then nothing here is constructed,
and a request passes through none of it. Lines have no header, no query string and no body, which is
where tokens and pictures are.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc

from serving.http.request_log import RequestEntry
from serving.ingress.door import Door
from serving.ingress.inference_protocol import InferenceRequest, InferenceResponse
from serving.logs.file import ACCESS
from serving.logs.logger import NodeLogger

__all__ = ["AccessLog", "LoggedDoor", "client_of"]

MAX_SIGNS = 128
"""of a path, or a name that a caller gave"""
_log = logging.getLogger(ACCESS)
_answered_by: ContextVar[str] = ContextVar("answered_by", default="")
"""the nodes that answered the request of this task"""

Handler = Callable[[Any, Any], Awaitable[Any]]


class LoggedDoor(Door):
    """A door that notes, for the access log, which nodes an answer came from."""

    async def answer(self, model: str, request: InferenceRequest) -> InferenceResponse:
        """See `Door.answer`."""
        response = await super().answer(model, request)
        nodes = dict.fromkeys(str(output.parameters["node"]) for output in response.outputs)
        _answered_by.set(",".join(nodes))
        return response


class AccessLog:
    """Writes the requests at the doors of `node` to the logger `serving.access`."""

    def __init__(self, node: str) -> None:
        self._log = NodeLogger(_log, node)

    def write_request(self, entry: RequestEntry) -> None:
        """A request at the HTTP door."""
        what = f"{entry.method} {_shown(entry.path)}" if entry.method else "(no request)"
        client = _shown(entry.client.decode("latin-1"))
        self._write("http", entry.peer, client, what, str(entry.status), entry.spent_s)

    def watch(self, method: str, handler: Handler) -> Handler:
        """`handler` of a method of the gRPC door, with a line for each call."""

        async def watched(request: Any, context: Any) -> Any:
            began_s = time.monotonic()
            status = "CANCELLED"
            try:
                response = await handler(request, context)
                status = "OK"
                return response
            except asyncio.CancelledError:
                raise
            except BaseException:
                code = context.code()  # set by `abort`; an error of the node's own sets none
                status = code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"
                raise
            finally:
                model = getattr(request, "model_name", "") or getattr(request, "name", "")
                what = f"{method} {_shown(model)}" if model else method
                peer = context.peer().partition(":")[2]
                spent_s = time.monotonic() - began_s
                self._write("grpc", peer, _shown(client_of(request)), what, status, spent_s)

        return watched

    def _write(
        self, door: str, peer: str, client: str, what: str, outcome: str, spent_s: float | None
    ) -> None:
        spent = "-" if spent_s is None else f"{spent_s * 1e3:.1f}"
        by = _answered_by.get() or "-"
        _answered_by.set("")
        self._log.info(
            "%s %s %s %s %s %s ms %s", door, peer, client or "-", what, outcome, spent, by
        )


def client_of(request: Any) -> str:
    """The name that the caller of a `ModelInferRequest` gave itself; empty if none."""
    parameters = getattr(request, "parameters", {})
    return parameters["client_id"].string_param if "client_id" in parameters else ""


def _shown(text: str) -> str:
    """What a caller sent, as one short word of printable signs."""
    shown = "".join(sign if sign.isprintable() and sign != " " else "?" for sign in text)
    return shown if len(shown) <= MAX_SIGNS else f"{shown[:MAX_SIGNS]}..."
