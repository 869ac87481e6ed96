"""The door behind uvicorn, which our own HTTP server is compared with, answers as ours does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from support.open_door import SIZE, Served, decode, picture, serve_node
from uvicorn_door import AsgiDoor, open_uvicorn_door

PNG = {"content-type": "image/png", "x-request-id": "r"}


@pytest.fixture(scope="module")
def doors() -> Iterator[tuple[Served, str]]:
    """One node, its own doors, and the URL of the one behind uvicorn."""
    with serve_node() as served:
        opened = asyncio.run_coroutine_threadsafe(
            open_uvicorn_door(served.node, decode, (SIZE, SIZE), {}), served.loop
        )
        port, close = opened.result(timeout=30)
        yield served, f"http://127.0.0.1:{port}"
        asyncio.run_coroutine_threadsafe(_wait(close), served.loop).result(timeout=30)


async def _wait(close: object) -> None:
    await close()  # type: ignore[operator]


def both(doors: tuple[Served, str], method: str, path: str, **how: object) -> list[httpx.Response]:
    served, url = doors
    return [httpx.request(method, f"{base}{path}", **how) for base in (served.url, url)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v2/models/depth/infer", picture()),
        ("POST", "/v2/models/all/infer?outputs=depth,segmentation", picture()),
        ("POST", "/v2/models/nothing/infer", picture()),
        ("POST", "/v2/models/depth/infer", b"no picture"),
        ("GET", "/v2/health/live", b""),
        ("GET", "/v2/models/depth/infer", b""),
    ],
)
def test_both_servers_answer_alike(
    doors: tuple[Served, str], method: str, path: str, body: bytes
) -> None:
    for _ in range(2):  # the second time the head is known
        ours, theirs = both(doors, method, path, content=body, headers=PNG)
        assert theirs.status_code == ours.status_code
        changing = {"x-testbed-answer", "content-length", "inference-header-content-length"}
        assert {k: v for k, v in theirs.headers.items() if k not in changing} == {
            k: v for k, v in ours.headers.items() if k not in changing
        }
        assert theirs.headers["x-request-id"] == "r"
        if "all" not in path:  # its answer has times in it
            assert theirs.content == ours.content


def test_what_is_no_request_of_http_is_not_answered(doors: tuple[Served, str]) -> None:
    async def nothing() -> dict[str, object]:
        return {}

    async def call() -> None:
        await AsgiDoor(None)({"type": "websocket"}, nothing, print)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="scope of type http"):
        asyncio.run(call())
