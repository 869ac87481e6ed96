"""Frames and messages: whatever arrives is understood or ends its own connection, nothing else."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import FrameError, RefusalReason, RefusedError
from serving.node.device.served import Served
from serving.node.links.messages import (
    ANSWER,
    CANCEL,
    AskReply,
    encode_answer,
    encode_query,
    parse_answer,
    parse_number,
    parse_query,
)
from serving.node.node_core import Routed
from serving.routing.routes import Ask, Target
from support.node_fakes import TOKEN, hierarchy, image, models, put_in_force

ASK = Ask(Target("edge", "e", "m"), ("depth", "edges"))


PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def over_the_wire(fields: list[Any]) -> list[Any]:
    read: list[Any] = msgpack.unpackb(msgpack.packb(fields, use_bin_type=True), raw=False)
    return read


def test_a_query_and_its_answer_survive_the_wire() -> None:
    query = parse_query(over_the_wire(encode_query(7, (ASK,), 0.25, PIXELS)))
    assert (query.number, query.asks, query.remaining_s) == (7, (ASK,), 0.25)
    assert query.image.tolist() == PIXELS.tolist()
    served = {
        task: Served(np.arange(6, dtype="<f2").reshape(2, 3), 4, 0.1, 0.2, 0.3)
        for task in ASK.tasks
    }
    refusal = RefusedError(RefusalReason.OVERLOADED, "full", 0.5)
    fields = over_the_wire(encode_answer(7, [AskReply(ASK.target, served, 0.05), refusal]))
    assert parse_number(fields) == 7
    reply, refused = parse_answer(fields, (ASK, ASK))
    assert isinstance(reply, AskReply)
    assert isinstance(refused, RefusedError)
    assert (reply.target, reply.link_s) == (ASK.target, 0.05)
    assert reply.served["edges"].prediction.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert reply.served["depth"].compute_s == 0.3
    assert (refused.reason, refused.message, refused.retry_after_s) == ("overloaded", "full", 0.5)


leaves = st.none() | st.integers(-(2**63), 2**63) | st.floats() | st.sampled_from(["", b"", True])
anything = leaves | st.lists(leaves, max_size=9) | st.just({"a": [1]})
SERVED = Served(np.zeros((2, 2), "<f4"), 1, 0.0, 0.0, 0.0)
GOOD_QUERY = over_the_wire(encode_query(7, (ASK,), None, PIXELS))
GOOD_ANSWER = over_the_wire(
    encode_answer(7, [AskReply(ASK.target, dict.fromkeys(ASK.tasks, SERVED), 0.0)])
)


@st.composite
def bent(draw: st.DrawFn, good: list[Any]) -> Any:
    """A good frame with one of its parts, at any depth, replaced or dropped."""

    def bend(value: Any) -> Any:
        if not isinstance(value, list) or not value or draw(st.integers(0, 2)) == 0:
            return draw(anything)
        index = draw(st.integers(0, len(value) - 1))
        if draw(st.booleans()):
            return [*value[:index], *value[index + 1 :]]
        return [*value[:index], bend(value[index]), *value[index + 1 :]]

    return bend(good)


@settings(max_examples=200, deadline=None)
@given(fields=st.lists(anything, min_size=1, max_size=7) | bent(GOOD_QUERY))
def test_no_query_raises_anything_but_frame_error(fields: Any) -> None:
    if not isinstance(fields, list):
        return
    try:
        query = parse_query(fields)
    except FrameError:
        return
    assert all(isinstance(task, str) for ask in query.asks for task in ask.tasks)


@settings(max_examples=200, deadline=None)
@given(fields=bent(GOOD_ANSWER) | st.lists(anything, min_size=1, max_size=4))
def test_no_answer_raises_anything_but_frame_error(fields: Any) -> None:
    if not isinstance(fields, list) or not fields:
        return
    try:
        parse_number([ANSWER, *fields[1:]])
        outcomes = parse_answer([ANSWER, *fields[1:]], (ASK,))
    except FrameError:
        return
    for outcome in outcomes:
        assert isinstance(outcome, RefusedError) or outcome.served.keys() >= set(ASK.tasks)


def framed(fields: object) -> bytes:
    packed: bytes = (
        fields if isinstance(fields, bytes) else msgpack.packb(fields, use_bin_type=True)
    )
    return len(packed).to_bytes(4, "big") + packed


GREETING = framed([0, TOKEN])
NOISE = {
    "ones": b"\xff" * 64,
    "no msgpack": framed(b"\xc1"),
    "endless frame": b"\x7f\xff\xff\xff",
    "long frame of a stranger": b"\x00\x00\x10\x00",
    "wrong token": framed([0, "guess"]),
    "token of another type": framed([0, {"a": 1}]),
    "query before the token": framed(GOOD_QUERY),
    "deep nesting": framed(b"\x91" * 900 + b"\x00"),
    "unknown kind": GREETING + framed([99]),
    "kind of another type": GREETING + framed([[1]]),
    "too few fields": GREETING + framed(GOOD_QUERY[:5]),
    "too many fields": GREETING + framed([*GOOD_QUERY, 1]),
    "an image that its shape belies": GREETING + framed([*GOOD_QUERY[:4], [2, 3, 3], bytes(12)]),
    "an image of no size": GREETING + framed([*GOOD_QUERY[:4], [0, 2, 3], b""]),
    "an answer, upwards": GREETING + framed(GOOD_ANSWER),
    "cancel of nothing": GREETING + framed([CANCEL, "x"]),
    "not an array": GREETING + framed({"a": 1}),
    "empty array": GREETING + framed([]),
    "endless frame of a friend": GREETING + b"\x02\x00\x00\x01",
    "the same number twice": GREETING
    + 2 * framed([2, 7, [["e", "cloud", "x", ["d"]]], None, [1, 1, 1], b"x"]),
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_noise_closes_its_connection_with_a_line_and_nothing_else(
    noise: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> list[Routed]:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers)
            reader, writer = await asyncio.open_connection("127.0.0.1", servers.ports["edge"])
            writer.write(noise)
            try:
                await asyncio.wait_for(reader.read(), 5)
            except ConnectionResetError:
                reader.feed_eof()
            writer.close()
            return await asyncio.gather(*(client.answer("depth", image(1)) for _ in range(3)))

    with caplog.at_level(logging.WARNING, "serving.node.links.framing"):
        assert len(asyncio.run(scenario())) == 3
    lines = [
        record.getMessage()
        for record in caplog.records
        if record.name == "serving.node.links.framing"
    ]
    assert len(lines) == 1
    assert lines[0].startswith("closed the connection with ('127.0.0.1', ")
    assert not [record for record in caplog.records if record.name == "asyncio"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    frames=st.lists(bent(GOOD_QUERY).map(framed) | st.binary(max_size=40), max_size=6),
    greets=st.booleans(),
)
def test_no_bytes_break_a_node(frames: list[bytes], greets: bool) -> None:
    """Everything ends in a closed connection or an answer; no task dies with an exception."""
    unhandled: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: unhandled.append(context)
        )
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers, routes={"depth": ((Target("edge", "edge", "two"), 1.0),)})
            reader, writer = await asyncio.open_connection("127.0.0.1", servers.ports["edge"])
            writer.write((GREETING if greets else b"") + b"".join(frames))
            writer.write_eof()
            try:
                await asyncio.wait_for(reader.read(), 5)
            except ConnectionResetError:
                reader.feed_eof()
            writer.close()
            await client.answer("depth", image(1))

    asyncio.run(scenario())
    assert unhandled == []
