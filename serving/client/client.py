"""Ask a client node from Python: `Client`, or `AsyncClient` on an event loop.

    with Client("http://127.0.0.1:8000") as node:
        depth = node.infer("depth", png)                    # a Prediction
        both = node.infer(["depth", "normals"], pixels)     # task -> Prediction

Images are the bytes of a PNG or JPEG, the path of such a file, or uint8 arrays (h, w, 3) or
(n, h, w, 3). What is not an answer is raised as a `ClientError`: of its kinds, only
`RefusedHereError` is worth another try.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import httpx
import numpy as np
from numpy.typing import NDArray

from serving.client.wire import (
    BadRequestError,
    ClientError,
    DeadlineError,
    ModelInfo,
    NotServedHereError,
    Prediction,
    RefusedHereError,
    ServerInfo,
    Statistics,
    UnauthorisedError,
    UnreachableError,
    infer_call,
    read_error,
    read_model,
    read_predictions,
    read_server,
    read_statistics,
)

__all__ = [
    "AsyncClient",
    "BadRequestError",
    "Client",
    "ClientError",
    "DeadlineError",
    "NotServedHereError",
    "Prediction",
    "RefusedHereError",
    "UnauthorisedError",
    "UnreachableError",
]

SentImage = bytes | str | Path | NDArray[np.uint8]
Tasks = list[str] | tuple[str, ...]
READY = "/v2/health/ready"


def _options(url: str, token: str | None, client_id: str, timeout_s: float) -> dict[str, Any]:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    if client_id:
        headers["x-client-id"] = client_id
    return {"base_url": url, "headers": headers, "timeout": timeout_s, "trust_env": False}


def _found(response: httpx.Response) -> Any:
    if response.status_code != 200:
        raise read_error(response.status_code, response.content)
    return response.json()


def _yes(response: httpx.Response) -> bool:
    """Whether the door says yes; 503 is its no."""
    if response.status_code == 503:
        return False
    return bool(_found(response))


class Client:
    """One client node's HTTP door. Keeps its connections: make one and use it, also from several
    threads. `client_id` is the name to be counted under, `timeout_s` bounds every exchange."""

    def __init__(
        self, url: str, *, token: str | None = None, client_id: str = "", timeout_s: float = 60.0
    ) -> None:
        self._http = httpx.Client(**_options(url, token, client_id, timeout_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    @overload
    def infer(
        self, tasks: str, image: SentImage, *, deadline_s: float | None = None, request_id: str = ""
    ) -> Prediction: ...
    @overload
    def infer(
        self,
        tasks: Tasks,
        image: SentImage,
        *,
        deadline_s: float | None = None,
        request_id: str = "",
    ) -> dict[str, Prediction]: ...
    def infer(
        self,
        tasks: str | Tasks,
        image: SentImage,
        *,
        deadline_s: float | None = None,
        request_id: str = "",
    ) -> Prediction | dict[str, Prediction]:
        """The prediction of a task, or of each of several; `deadline_s` from now.

        Raises `ClientError`, and `ValueError` for an image that cannot be sent.
        """
        call = infer_call(tasks, image, deadline_s, request_id)
        response = self._send("POST", call.path, call.body, call.headers)
        found = read_predictions(call, response.status_code, response.headers, response.content)
        return found[tasks] if isinstance(tasks, str) else found

    def live(self) -> bool:
        """Whether the node answers at all."""
        try:
            return self._send("GET", "/v2/health/live").status_code == 200
        except UnreachableError:
            return False

    def ready(self, task: str | None = None) -> bool:
        """Whether a plan is in force and, if a task is named, serves it."""
        return _yes(self._send("GET", READY if task is None else f"/v2/models/{task}/ready"))

    def server(self) -> ServerInfo:
        """The node, its plan version and its tasks."""
        return read_server(_found(self._send("GET", "/v2")))

    def model(self, task: str) -> ModelInfo:
        """What a task's model takes and gives."""
        return read_model(_found(self._send("GET", f"/v2/models/{task}")))

    def statistics(self) -> dict[str, Statistics]:
        """What became of the requests so far, by model."""
        return read_statistics(_found(self._send("GET", "/v2/models/stats")))

    def _send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error


class AsyncClient:
    """`Client` for an event loop; see there."""

    def __init__(
        self, url: str, *, token: str | None = None, client_id: str = "", timeout_s: float = 60.0
    ) -> None:
        self._http = httpx.AsyncClient(
            **_options(url, token, client_id, timeout_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=256),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()

    @overload
    async def infer(
        self, tasks: str, image: SentImage, *, deadline_s: float | None = None, request_id: str = ""
    ) -> Prediction: ...
    @overload
    async def infer(
        self,
        tasks: Tasks,
        image: SentImage,
        *,
        deadline_s: float | None = None,
        request_id: str = "",
    ) -> dict[str, Prediction]: ...
    async def infer(
        self,
        tasks: str | Tasks,
        image: SentImage,
        *,
        deadline_s: float | None = None,
        request_id: str = "",
    ) -> Prediction | dict[str, Prediction]:
        """See `Client.infer`. Cancelling it withdraws the query."""
        call = infer_call(tasks, image, deadline_s, request_id)
        response = await self._send("POST", call.path, call.body, call.headers)
        found = read_predictions(call, response.status_code, response.headers, response.content)
        return found[tasks] if isinstance(tasks, str) else found

    async def live(self) -> bool:
        """Whether the node answers at all."""
        try:
            return (await self._send("GET", "/v2/health/live")).status_code == 200
        except UnreachableError:
            return False

    async def ready(self, task: str | None = None) -> bool:
        """Whether a plan is in force and, if a task is named, serves it."""
        return _yes(await self._send("GET", READY if task is None else f"/v2/models/{task}/ready"))

    async def server(self) -> ServerInfo:
        """The node, its plan version and its tasks."""
        return read_server(_found(await self._send("GET", "/v2")))

    async def model(self, task: str) -> ModelInfo:
        """What a task's model takes and gives."""
        return read_model(_found(await self._send("GET", f"/v2/models/{task}")))

    async def statistics(self) -> dict[str, Statistics]:
        """What became of the requests so far, by model."""
        return read_statistics(_found(await self._send("GET", "/v2/models/stats")))

    async def _send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        try:
            return await self._http.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error
