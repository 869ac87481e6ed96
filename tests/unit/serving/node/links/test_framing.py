"""Frames of a connection: who may send how much, and who waits for whom."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import msgpack
import pytest

from serving.node.links.framing import MAX_FRAME_BYTES, STRANGER_FRAME_BYTES, FrameProtocol


class Wire(asyncio.Transport):
    """Takes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.writes: list[bytes] = []

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def writelines(self, parts: Any) -> None:
        self.writes.append(b"".join(parts))


def connected(*, trusted: bool = True) -> tuple[FrameProtocol, Wire, list[list[Any]]]:
    frames: list[list[Any]] = []
    protocol = FrameProtocol(lambda _, fields: frames.append(fields), trusted=trusted)
    wire = Wire()
    protocol.connection_made(wire)
    return protocol, wire, frames


@pytest.mark.parametrize(("trusted", "most"), [(False, 1_024), (True, 32 * 2**20)])
def test_a_frame_may_have_so_many_bytes_and_not_one_more(trusted: bool, most: int) -> None:
    assert (STRANGER_FRAME_BYTES, MAX_FRAME_BYTES)[trusted] == most
    protocol, wire, _ = connected(trusted=trusted)
    protocol.data_received(struct.pack("!I", most))
    assert not wire.aborted
    protocol, wire, _ = connected(trusted=trusted)
    protocol.data_received(struct.pack("!I", most + 1))
    assert wire.aborted


def test_frames_of_one_turn_leave_in_one_write_and_arrive_in_any_pieces() -> None:
    async def scenario() -> bytes:
        protocol, wire, _ = connected()
        protocol.send([1])
        protocol.send([2, "x"])
        assert wire.writes == []
        await asyncio.sleep(0)
        (written,) = wire.writes
        return written

    stream = asyncio.run(scenario())
    protocol, _, frames = connected()
    for place in range(len(stream)):
        protocol.data_received(stream[place : place + 1])
    assert frames == [[1], [2, "x"]]
    assert stream[4:].startswith(msgpack.packb([1]))


def test_who_sends_waits_for_a_far_side_that_is_slow() -> None:
    async def scenario() -> None:
        protocol, _, _ = connected()
        await asyncio.wait_for(protocol.drain(), 1)
        protocol.pause_writing()
        waiting = asyncio.ensure_future(protocol.drain())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        protocol.resume_writing()
        await asyncio.wait_for(waiting, 1)

    asyncio.run(scenario())


def test_nobody_waits_for_a_far_side_that_has_gone() -> None:
    async def scenario() -> None:
        protocol, _, _ = connected()
        protocol.pause_writing()
        waiting = asyncio.ensure_future(protocol.drain())
        protocol.connection_lost(None)
        await asyncio.wait_for(waiting, 1)
        assert not protocol.connected

    asyncio.run(scenario())
