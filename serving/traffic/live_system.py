"""The live system as traffic sees it: queries over HTTP to the clients' doors."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp

from serving.client.wire import (
    Call,
    ClientError,
    NotServedHereError,
    Prediction,
    RefusedHereError,
    read_predictions,
)
from serving.errors import RefusalReason
from serving.ingress.oip_names import ALL
from serving.system import Answer, Outcome, Query

__all__ = ["HttpSystem"]


class HttpSystem:
    """`SharingSystem` over HTTP. `endpoints` maps each client node to the URL of its door, `token`
    is what the doors ask for.

    Use as an asynchronous context manager. A 503, and a 404 for a task that the plan does not
    serve, are refusals (`Outcome.SHED`); anything else but 200 is `Outcome.ERROR`. A share
    `trace_share` of the requests asks its nodes to trace it.
    """

    def __init__(
        self,
        endpoints: Mapping[str, str],
        timeout_s: float = 60.0,
        token: str | None = None,
        trace_share: float = 0.0,
    ) -> None:
        self._endpoints = dict(endpoints)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._trace_share = trace_share
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=self._timeout,
            headers=self._headers,
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, query: Query) -> Answer:
        """POST the image to its client's door and read what came back."""
        return (await self.send_all(query, (query.task,)))[query.task]

    async def send_all(self, query: Query, tasks: tuple[str, ...]) -> dict[str, Answer]:
        """One POST for several tasks of the image (F14); they are answered or refused together."""
        path = f"/v2/models/{ALL}/infer?outputs={','.join(tasks)}"
        if len(tasks) == 1:
            path = f"/v2/models/{tasks[0]}/infer"
        if self._session is None:
            raise RuntimeError("HttpSystem must be entered with `async with` before it is used")
        headers = {"content-type": query.content_type}
        if query.within_s is not None:
            headers["x-deadline-ms"] = f"{1e3 * query.within_s:.6g}"
        trace_id = ""
        if self._trace_share and random.random() < self._trace_share:
            trace_id = secrets.token_hex(16)
            headers["traceparent"] = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        call = Call(path, query.body, headers, tasks)
        url = self._endpoints[query.client] + path
        try:
            async with self._session.post(url, data=query.body, headers=headers) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = f"{type(error).__name__}: {error}"
            failed = Answer(Outcome.ERROR, reason=reason, trace_id=trace_id)
            return dict.fromkeys(tasks, failed)
        try:
            found = read_predictions(call, response.status, response.headers, body)
        except ClientError as error:
            without = _without_prediction(response.status, error)._replace(trace_id=trace_id)
            return dict.fromkeys(tasks, without)
        return {task: _answer(prediction, trace_id) for task, prediction in found.items()}


def _without_prediction(status: int, error: ClientError) -> Answer:
    unserved = isinstance(error, NotServedHereError) and error.reason == RefusalReason.NOT_SERVED
    if unserved or isinstance(error, RefusedHereError):
        return Answer(Outcome.SHED, reason=error.reason or str(status))
    return Answer(Outcome.ERROR, reason=f"HTTP {status}: {error}")


def _answer(prediction: Prediction, trace_id: str) -> Answer:
    return Answer(
        Outcome.ANSWERED,
        reason=prediction.spilled,
        prediction=prediction.values,
        tier=prediction.tier,
        node=prediction.node,
        model=prediction.model,
        plan_version=prediction.plan_version,
        batch_size=prediction.batch_size,
        bound_s=prediction.bound_s,
        timing=prediction.timing,
        trace_id=trace_id or prediction.trace_id,
    )
