"""The generator's HTTP client against a server that answers by the book, late, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from http_door import DoorError, HttpDoor

Session = Callable[[HttpDoor], Awaitable[None]]
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
FAULT = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops"
CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"


class _Server:
    """Answers with what the request's body asks for; counts connections."""

    def __init__(self) -> None:
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while not reader.at_eof():
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            assert head.startswith(b"POST /infer HTTP/1.1\r\nhost: 127.0.0.1:")
            assert b"\r\nx-kind: test\r\n" in head
            body = await reader.readexactly(int(head.split(b"content-length: ")[1].split()[0]))
            reply = {b"chunked": CHUNKED, b"busy": BUSY, b"fault": FAULT, b"close": CLOSING}.get(
                body, b"rubbish\r\n\r\n" if body == b"rubbish" else WHOLE + body[:5]
            )
            if body == b"vanish":
                break
            writer.write(reply[:20])
            await writer.drain()
            await asyncio.sleep(0.001)
            writer.write(reply[20:])
        writer.close()


def _run(session: Session) -> _Server:
    server = _Server()

    async def main() -> None:
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with (
            listener,
            HttpDoor(f"http://127.0.0.1:{port}/infer", [], {"x-kind": "test"}) as d,
        ):
            await session(d)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return server


def test_answers_of_every_framing_come_whole() -> None:
    async def session(door: HttpDoor) -> None:
        assert await door.call(b"hello") == b"hello"
        assert await door.call(b"chunked") == b"abcde"
        assert await door.call(b"busy") is None
        assert await door.call(b"close") == b"ok"
        assert await door.call(b"again") == b"again"

    assert _run(session).connections == 2  # one more after the server closed the first


def test_queries_out_together_have_connections_of_their_own() -> None:
    async def session(door: HttpDoor) -> None:
        bodies = [b"%05d" % number for number in range(20)]
        assert await asyncio.gather(*map(door.call, bodies)) == bodies
        assert await door.call(b"after") == b"after"

    assert _run(session).connections == 20


@pytest.mark.parametrize(
    ("body", "said"), [(b"fault", "HTTP 500"), (b"vanish", "closed"), (b"rubbish", "not HTTP")]
)
def test_what_is_no_answer_is_an_error(body: bytes, said: str) -> None:
    async def session(door: HttpDoor) -> None:
        with pytest.raises(DoorError, match=said):
            await door.call(body)
        assert await door.call(b"hello") == b"hello"

    _run(session)


def test_a_server_that_is_not_there_is_an_error() -> None:
    async def main() -> None:
        async with HttpDoor("http://127.0.0.1:9/infer", [], {}) as door:
            with pytest.raises(DoorError, match="ConnectionRefusedError"):
                await door.call(b"hello")

    asyncio.run(main())
