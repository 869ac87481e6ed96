"""A connection as asyncio drives it: what no ordinary caller would show."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from serving.http.exchange import Begin, Body, Exchange, Head, Response
from serving.http.limits import Limits
from serving.http.responses import content
from serving.http.server import HttpServer

pytestmark = pytest.mark.real_time

POST = b"POST /%s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"


class Echo:
    """Answers a body with its path and itself; /now without a body, /fail not at all."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.asked: list[str] = []

    def read(self, head: Head) -> Begin:
        return lambda: self.begin(head)

    def begin(self, head: Head) -> Response | Exchange:
        self.asked.append(head.path)
        if head.path == "/now":
            return content(200, [], b"text/plain", b"now")

        async def answer(body: Body) -> Response:
            if head.path == "/fail":
                raise RuntimeError("on purpose")
            if head.path == "/never":
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
            await asyncio.sleep(0)
            return content(200, [], b"text/plain", head.path.encode() + b" " + body)

        return Exchange([], answer)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Coroutine[Any, Any, Streams]]


@asynccontextmanager
async def served(app: Echo, limits: Limits | None = None) -> AsyncIterator[Connect]:
    server = HttpServer(app, socket.create_server(("127.0.0.1", 0)), limits or Limits())
    await server.start()
    try:
        yield lambda: asyncio.open_connection("127.0.0.1", server.port)
    finally:
        await server.close()


def test_bytes_in_any_pieces_are_the_same_requests() -> None:
    """Cut after every byte, and not at all."""
    sent = POST % (b"a", 3, b"one") + POST % (b"now", 2, b"xx") + POST % (b"c", 0, b"")

    async def ask(size: int) -> bytes:
        async with served(Echo()) as connect:
            reader, writer = await connect()
            for start in range(0, len(sent), size):
                writer.write(sent[start : start + size])
                await writer.drain()
                await asyncio.sleep(0)
            said = b""
            while said.count(b"HTTP/1.1 200 OK") < 3 or not said.endswith(b"/c "):
                said += await asyncio.wait_for(reader.read(4_096), 5)
            writer.close()
            return said

    whole = asyncio.run(ask(len(sent)))
    assert b"/a one" in whole
    assert whole.index(b"/a one") < whole.index(b"now") < whole.index(b"/c ")
    for size in (1, 7):
        assert asyncio.run(ask(size)) == whole


def test_thousands_of_requests_in_one_piece_are_answered_without_recursion() -> None:
    async def main() -> int:
        async with served(Echo(), Limits(pipelined=10_000)) as connect:
            reader, writer = await connect()
            writer.write(b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n" * 3_000)
            count = 0
            while count < 3_000:
                count += (await asyncio.wait_for(reader.read(1 << 20), 5)).count(b"\r\n\r\n")
            writer.close()
            return count

    assert asyncio.run(main()) == 3_000


def test_a_failure_is_reported_and_the_connection_goes_on() -> None:
    reports: list[str] = []

    async def main() -> bytes:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reports.append(f"{context['message']}: {context['exception']}")
        )
        async with served(Echo()) as connect:
            reader, writer = await connect()
            writer.write(
                POST % (b"fail", 1, b"x")
                + b"GET /now HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            )
            said = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return said

    said = asyncio.run(main())
    assert said.startswith(b"HTTP/1.1 500 ")
    assert b"on purpose" not in said
    assert said.endswith(b"connection: close\r\n\r\nnow")
    assert reports == ["POST /fail failed: on purpose"]


def test_who_goes_away_takes_its_exchange_along() -> None:
    app = Echo()

    async def main() -> None:
        async with served(app) as connect:
            _, writer = await connect()
            writer.write(POST % (b"never", 1, b"x"))
            while not app.asked:
                await asyncio.sleep(0.01)
            writer.close()
            while not app.cancelled:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 5))
    assert app.cancelled == 1


def test_closing_lets_what_is_being_answered_finish() -> None:
    class Slow(Echo):
        def begin(self, head: Head) -> Exchange:
            self.asked.append(head.path)

            async def answer(body: Body) -> Response:
                await asyncio.sleep(0.2)
                return content(200, [], b"text/plain", bytes(body))

            return Exchange([], answer)

    app = Slow()

    async def main() -> tuple[bytes, bytes]:
        async with served(app) as connect:
            reader, writer = await connect()
            idle, idle_writer = await connect()
            writer.write(POST % (b"a", 3, b"one"))
            while not app.asked:
                await asyncio.sleep(0.01)
        said = await reader.read(), await idle.read()
        writer.close()
        idle_writer.close()
        return said

    answered, idle = asyncio.run(main())
    assert answered.endswith(b"connection: close\r\n\r\none")
    assert idle == b""


def test_a_body_on_its_way_when_the_server_closes_is_answered() -> None:
    app = Echo()

    async def main() -> bytes:
        async with served(app) as connect:
            reader, writer = await connect()
            writer.write((POST % (b"a", 3, b"one"))[:-1])
            while not app.asked:
                await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.1, writer.write, b"e")
        said = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return said

    assert asyncio.run(main()).endswith(b"connection: close\r\n\r\n/a one")


def test_an_offer_of_another_protocol_is_answered_over_this_one() -> None:
    """curl --http2 and Java's client offer h2c with every request, one with a body too."""
    offer = b" HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n"

    async def ask(sent: bytes) -> bytes:
        async with served(Echo()) as connect:
            reader, writer = await connect()
            writer.write(sent)
            writer.write_eof()
            said = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return said

    sent = b"GET /now" + offer + b"\r\n"
    sent += b"POST /a" + offer + b"content-length: 3\r\n\r\none"
    sent += b"GET /now HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    said = asyncio.run(ask(sent))
    assert said.count(b"HTTP/1.1 200 OK") == 3
    assert b"\r\n\r\n/a one" in said
    assert said.endswith(b"connection: close\r\n\r\nnow")


@pytest.mark.parametrize(
    "limits", [Limits(headers=3), Limits(head_bytes=200)], ids=["headers", "bytes"]
)
def test_a_header_named_again_and_again_still_counts(limits: Limits) -> None:
    async def main() -> bytes:
        async with served(Echo(), limits) as connect:
            reader, writer = await connect()
            writer.write(b"GET /now HTTP/1.1\r\n" + b"a: " + b"x" * 60 + b"\r\n")
            writer.write((b"a: " + b"x" * 60 + b"\r\n") * 4 + b"\r\n")
            said = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return said

    assert asyncio.run(main()).startswith(b"HTTP/1.1 431 ")


def test_nothing_is_read_of_a_caller_that_takes_up_no_answers() -> None:
    """It could leave some thousand answers and then send a body that nobody judges, without end."""

    async def main() -> int:
        app = Echo()
        async with served(app, Limits(write_s=2.0)) as connect:
            _, writer = await connect()
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            writer.write(b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n" * 30_000)
            await asyncio.sleep(0.3)
            writer.write(b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            sent = 0
            with suppress(ConnectionError, TimeoutError):
                for _ in range(400):
                    writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                    await asyncio.wait_for(writer.drain(), 0.2)
                    sent += 65_536
            writer.transport.abort()
            return sent

    assert asyncio.run(main()) < 12 * 2**20  # what the sockets' own buffers take


def test_half_a_body_behind_an_answer_has_its_time_too() -> None:
    async def main() -> bytes:
        async with served(Echo(), Limits(body_s=0.3)) as connect:
            reader, writer = await connect()
            head = b" HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n"
            writer.write(b"POST /a" + head + b"one" + b"POST /b" + head + b"t")
            said = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return said

    said = asyncio.run(main())
    assert b"/a one" in said
    assert b"HTTP/1.1 408 " in said


GOOD = b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED_POST = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "statuses"),
    [
        ([GOOD + b"garbage\r\n\r\n"], [200, 400]),
        ([GOOD, b"garbage\r\n\r\n"], [200, 400]),
        ([CHUNKED_POST + b"zz\r\n"], [400]),
        ([CHUNKED_POST, b"zz\r\n"], [400]),
        ([GOOD + CHUNKED_POST + b"zz\r\n"], [200, 400]),
        ([CHUNKED_POST + b"3\r\none\r\n0\r\n\r\n" + b"garbage\r\n\r\n"], [200, 400]),
        ([CHUNKED_POST.replace(b"/a", b"/early"), b"zz\r\n"], [200]),
    ],
)
def test_a_stream_that_breaks_is_answered_up_to_there_and_once(
    pieces: list[bytes], statuses: list[int]
) -> None:
    class Early(Echo):
        def begin(self, head: Head) -> Response | Exchange:
            if head.path == "/early":  # answered before its body has come
                return content(200, [], b"text/plain", b"early")
            return super().begin(head)

    async def main() -> bytes:
        async with served(Early()) as connect:
            reader, writer = await connect()
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.05)
            said = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return said

    said = asyncio.run(main())
    assert [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+) ", said)] == statuses
