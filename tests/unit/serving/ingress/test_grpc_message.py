"""A gRPC call is held to what HTTP is: the token first, a body in time, a bounded cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import BadQueryError
from serving.http.limits import Limits
from serving.ingress.access import DoorConfig
from serving.ingress.grpc_message import MOST_FIELDS, check_fields, split_tensors
from serving.ingress.protobuf_types import SERVICE, message
from support.open_door import serve_node

TOKEN = "a token of 16 signs or more"
Request = message("ModelInferRequest")
METHOD = f"/{SERVICE}/ServerLive"


async def silence() -> AsyncIterator[bytes]:
    """What a caller sends that says nothing."""
    await asyncio.sleep(60)
    yield b""


async def status_of(port: int, messages: AsyncIterator[bytes] | None) -> tuple[str, float]:
    """The status of a call, and the seconds until it came; a whole call without `messages`."""
    started_s = time.monotonic()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        if messages is None:
            call = channel.unary_unary(METHOD)(b"")
        else:
            call = channel.stream_unary(METHOD)(messages)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return error.code().name, time.monotonic() - started_s
    return "OK", time.monotonic() - started_s


def test_callers_that_say_nothing_end_in_time_and_free_the_door() -> None:
    limits = Limits(body_s=0.5, streams=4)

    async def free(port: int) -> str:
        """Callers hear that they are late a moment before the server counts their call as over."""
        ends_s = time.monotonic() + 5
        while (status := (await status_of(port, None))[0]) != "OK" and time.monotonic() < ends_s:
            await asyncio.sleep(0.05)
        return status

    async def scenario(port: int) -> tuple[list[tuple[str, float]], str]:
        silent = await asyncio.gather(*(status_of(port, silence()) for _ in range(4)))
        return list(silent), await free(port)

    with serve_node(DoorConfig(limits=limits)) as served:
        silent, after = asyncio.run(scenario(served.grpc))
    assert {status for status, _ in silent} == {"DEADLINE_EXCEEDED"}
    assert all(seconds < 3 for _, seconds in silent)
    assert after == "OK"


def test_who_may_not_enter_hears_so_before_a_message_is_read() -> None:
    with serve_node(DoorConfig(token=TOKEN)) as served:
        status, seconds = asyncio.run(status_of(served.grpc, silence()))
    assert status == "UNAUTHENTICATED"
    assert seconds < 3


def test_few_messages_are_waited_for_at_once() -> None:
    """So many as there is memory for; the others wait, within their own time."""
    limits = Limits(body_s=0.4, gathered_bytes=2 * 8 * 2**20)

    async def scenario(port: int) -> list[str]:
        calls = [status_of(port, silence()) for _ in range(6)]
        return [status for status, _ in await asyncio.gather(*calls)]

    with serve_node(DoorConfig(limits=limits)) as served:
        assert asyncio.run(scenario(served.grpc)) == ["DEADLINE_EXCEEDED"] * 6


@pytest.mark.parametrize(
    ("raw", "passes"),
    [
        (Request(raw_input_contents=[b"x" * 2**20]).SerializeToString(), True),
        (Request(model_name="depth", id="x" * 1_000).SerializeToString(), True),
        (b"\x2a\x00" * (MOST_FIELDS + 1), False),
        (b"\x2a\x00" * 4_000_000, False),
        (Request(id="x" * 300_000).SerializeToString(), False),
        # A group is passed over by protobuf, which then goes on.
        (b"\x3b\x3c" + b"\x2a\x00" * 4_000_000, False),
        (b"\x7b\x7c" + b"\x2a\x00" * 100_000, False),
        (b"\xff" * 2**20, False),
    ],
)
def test_a_message_is_weighed_before_it_is_parsed(raw: bytes, passes: bool) -> None:
    if passes:
        check_fields(raw, Limits().json_bytes)
        return
    started_s = time.perf_counter()
    with pytest.raises(BadQueryError) as refused:
        check_fields(raw, Limits().json_bytes)
    assert refused.value.status in (400, 413)
    assert time.perf_counter() - started_s < 0.5


requests = st.builds(
    Request,
    model_name=st.text(max_size=5),
    id=st.text(max_size=5),
    raw_input_contents=st.lists(st.binary(max_size=300), max_size=3),
)


@given(requests, requests)
def test_tensors_are_split_off_as_protobuf_would_read_them(one: Any, other: Any) -> None:
    """Fields of one message may come in any order, and again."""
    raw = one.SerializeToString() + other.SerializeToString()
    rest, tensors = split_tensors(raw)
    whole = Request.FromString(raw)
    assert [bytes(tensor) for tensor in tensors] == list(whole.raw_input_contents)
    whole.ClearField("raw_input_contents")
    assert Request.FromString(rest) == whole


def test_a_tensor_that_is_cut_off_is_refused() -> None:
    raw = Request(model_name="depth", raw_input_contents=[b"x" * 300]).SerializeToString()
    for length in range(len(b"\x0a\x05depth") + 1, len(raw)):
        with pytest.raises(BadQueryError, match="cut off"):
            split_tensors(raw[:length])


@given(st.binary(max_size=200))
def test_whatever_the_bytes_weighing_them_ends(raw: bytes) -> None:
    with suppress(BadQueryError):
        check_fields(raw, 10_000)
