"""The gRPC door of a client node: `inference.GRPCInferenceService` on `grpc.aio`.

Beside the HTTP door, on the same requests and the same counts. What was refused has the reason in
the trailing metadata `reason`, and where that is known `retry-after-ms`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import grpc

from serving.errors import BadQueryError, NotServedError, RefusalReason, RefusedError
from serving.ingress.access import DoorConfig
from serving.ingress.access_log import AccessLog, client_of
from serving.ingress.door import Door
from serving.ingress.grpc_message import (
    MessageReceiver,
    head_of,
    parse_message,
    split_tensors,
)
from serving.ingress.oip_protobuf import (
    encode_response,
    encode_statistics,
    encode_tensor,
    parse_request,
)
from serving.ingress.protobuf_types import METHODS, SERVICE

__all__ = ["GrpcApi"]

STATUS_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
IDENTITY_ONLY = 1
"""bit set of compressions taken: of none, because a small message could unpack to any size"""

Handler = Callable[[Any, Any], Awaitable[Any]]


class GrpcApi:
    """Servicer and server of one client node; `access_log`, if there is one, sees each call."""

    def __init__(
        self, door: Door, config: DoorConfig | None = None, access_log: AccessLog | None = None
    ) -> None:
        self._access_log = access_log
        self._door = door
        self._config = config or DoorConfig()
        self._server: grpc.aio.Server | None = None
        self._receiver = MessageReceiver(self._config.limits)

    async def start(self, port: int = 0) -> int:
        """Listen on `port` of the configured host, or on a free one; returns the port. Raises
        `OSError` if it is taken."""
        limits = self._config.limits
        server = grpc.aio.server(
            maximum_concurrent_rpcs=limits.streams,
            options=(
                ("grpc.so_reuseport", 0),  # else a second server would share the port in silence
                ("grpc.max_receive_message_length", limits.longest_message_bytes(self._door.size)),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", limits.head_bytes),
                ("grpc.absolute_max_metadata_size", limits.head_bytes),
                ("grpc.max_concurrent_streams", limits.streams),
                ("grpc.max_allowed_incoming_connections", limits.affordable_connections),
                ("grpc.server_handshake_timeout_ms", int(limits.head_s * 1e3)),
                ("grpc.max_connection_idle_ms", int(limits.idle_s * 1e3)),
                ("grpc.keepalive_time_ms", int(limits.idle_s * 1e3)),
                ("grpc.keepalive_timeout_ms", int(limits.write_s * 1e3)),
                ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
            ),
        )
        server.add_generic_rpc_handlers((self._handlers(),))
        address = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        try:
            bound = server.add_insecure_port(f"{address}:{port}")
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {address}:{port}: {error}") from None
        await server.start()
        self._server = server
        return int(bound)

    async def close(self, grace_s: float = 0.0) -> None:
        """Stop listening; calls in flight have `grace_s` to end."""
        if self._server is not None:
            await self._server.stop(grace_s)

    def _handlers(self) -> Any:
        methods: dict[str, Handler] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": partial(self._infer, []),
            "ModelStatistics": self._statistics,
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                # On the wire a call of one message is a stream of one.
                name: grpc.stream_unary_rpc_method_handler(
                    self._received(name, methods[name], request, response),
                    request_deserializer=None,
                    response_serializer=_serialized,
                )
                for name, (request, response) in METHODS.items()
            },
        )

    def _received(self, name: str, answer: Handler, request: Any, response: Any) -> Handler:
        """`answer` with the call's message, once its caller is known."""

        async def handle(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> Any:
            asked, respond = request(), answer
            try:
                if self._config.token is not None:
                    self._check_token(context)
                raw = await self._receiver.receive(messages)
                if name == "ModelInfer":
                    asked = head_of(raw, request)
                    self._refuse_early(asked)
                    raw, tensors = split_tensors(raw)
                    respond = partial(self._infer, tensors)
                asked = parse_message(raw, request)
            except (BadQueryError, RefusedError) as error:
                respond = partial(_refuse, error.with_traceback(None))
            return await self._logged(name, self._guarded(respond, response))(asked, context)

        return handle

    def _refuse_early(self, head: Any) -> None:
        """Raise the `RefusedError` that a request with this head meets whatever else it says.

        Its tensors need not be read for that, which under overload is most of the door's work.
        """
        self._door.check_model(head.model_name, head.model_version)
        standing = self._door.refuse_early(head.model_name, client_of(head)[:128])
        if standing is not None:
            again = standing.refusal
            raise RefusedError(again.reason, again.message, again.retry_after_s)

    def _logged(self, method: str, handler: Handler) -> Handler:
        return handler if self._access_log is None else self._access_log.watch(method, handler)

    def _guarded(self, answer: Handler, response: Any) -> Handler:
        """`answer`, its errors as statuses."""

        async def handle(request: Any, context: grpc.aio.ServicerContext) -> Any:
            trailing: list[tuple[str, str]] = []
            try:
                result = await answer(request, context)
                return response(**result) if isinstance(result, dict) else result
            except BadQueryError as error:
                code = STATUS_CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT)
                message = str(error)
            except NotServedError as error:
                code, message = grpc.StatusCode.NOT_FOUND, str(error)
                trailing.append(("reason", str(RefusalReason.NOT_SERVED)))
            except RefusedError as error:
                late = error.reason is RefusalReason.DEADLINE
                code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.UNAVAILABLE
                message = str(error)
                trailing.append(("reason", error.reason))
                if error.retry_after_s:
                    trailing.append(("retry-after-ms", str(round(1e3 * error.retry_after_s))))
            return await context.abort(code, message, tuple(trailing))  # which raises

        return handle

    def _check_token(self, context: grpc.aio.ServicerContext) -> None:
        for key, value in context.invocation_metadata() or ():
            if key == "authorization" and self._config.admits(_as_bytes(value)):
                return
        raise BadQueryError(401, "this door asks for the metadata `authorization: Bearer TOKEN`")

    async def _infer(
        self, tensors: list[memoryview], request: Any, context: grpc.aio.ServicerContext
    ) -> Any:
        self._door.check_model(request.model_name, request.model_version)
        asked = parse_request(request, tensors, self._door.size, self._config.limits)
        left_s = context.time_remaining()
        if left_s is not None:
            timeout_s = min(max(left_s, 1e-6), asked.timeout_s or left_s)
            asked = asked._replace(timeout_s=timeout_s)
        if self._door.traced:
            asked = asked._replace(traceparent=_traceparent(context))
        return encode_response(asked, await self._door.answer(request.model_name, asked))

    async def _live(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return {"live": True}

    async def _ready(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return {"ready": self._door.ready}

    async def _model_ready(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        self._door.check_model(request.name, request.version)
        return {"ready": self._door.model_ready(request.name)}

    async def _metadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        about = self._door.describe()
        return {key: about[key] for key in ("name", "version", "extensions")}

    async def _model_metadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        self._door.check_model(request.name, request.version)
        about = self._door.describe_model(request.name)
        taken, given = self._door.tensors(request.name)
        about["inputs"] = [encode_tensor(taken)]
        about["outputs"] = [encode_tensor(output) for output in given]
        return about

    async def _statistics(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        if request.name:
            self._door.check_model(request.name, request.version)
        return encode_statistics(self._door.statistics(request.name))


def _traceparent(context: grpc.aio.ServicerContext) -> str:
    """That of a call's metadata, "" if there is none."""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent":
            return _as_bytes(value).decode("latin-1")
    return ""


async def _refuse(error: BadQueryError | RefusedError, request: Any, context: Any) -> Any:
    raise error


def _serialized(answer: Any) -> bytes:
    return answer if isinstance(answer, bytes) else bytes(answer.SerializeToString())


def _as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
