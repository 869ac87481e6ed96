"""The live system as traffic sees it: queries over HTTP to the clients' doors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
import numpy as np

from serving.system import Answer, Outcome, Query, Timing

__all__ = ["HttpSystem"]


class HttpSystem:
    """`System` over HTTP. `endpoints` maps each client node to the URL of its door, `token` is what
    the doors ask for.

    Use as an asynchronous context manager. A 503, and a 404 for a task that the plan does not
    serve, are refusals (`Outcome.SHED`); anything else but 200 is `Outcome.ERROR`.
    """

    def __init__(
        self, endpoints: Mapping[str, str], timeout_s: float = 60.0, token: str | None = None
    ) -> None:
        self._endpoints = dict(endpoints)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}
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
        if self._session is None:
            raise RuntimeError("HttpSystem must be entered with `async with` before it is used")
        url = f"{self._endpoints[query.client]}/v2/models/{query.task}/infer"
        try:
            async with self._session.post(
                url, data=query.body, headers={"content-type": query.content_type}
            ) as response:
                body = await response.read()
                return _read(response.status, response.headers, body)
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(Outcome.ERROR, reason=f"{type(error).__name__}: {error}")


def _read(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    if status != 200:
        fault = json.loads(body or b"{}")
        reason = str(fault.get("reason", status))
        refused = status == 503 or (status == 404 and reason == "not_served")
        if refused:
            return Answer(Outcome.SHED, reason=reason)
        return Answer(Outcome.ERROR, reason=f"HTTP {status}: {fault.get('error', '')}")
    dtype, _, extents = headers["x-testbed-tensor"].partition(";")
    shape = tuple(int(extent) for extent in extents.split(",") if extent)
    way = json.loads(headers["x-testbed-answer"])
    return Answer(
        Outcome.ANSWERED,
        prediction=np.frombuffer(body, dtype=np.dtype(dtype)).reshape(shape),
        tier=way["tier"],
        node=way["node"],
        model=way["model"],
        plan_version=way["plan_version"],
        batch_size=way["batch_size"],
        bound_s=way["bound_s"],
        timing=Timing(way["queue_s"], way["batch_wait_s"], way["compute_s"], way["link_s"]),
    )
