"""No token, no header and no picture gets into a log, whatever callers, peers and devices do.

Real nodes with both doors, on which everything goes wrong that can, with every logger of the
process at DEBUG and the access log on. What was logged is searched for what was sent.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import logging
import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc
import msgpack
import numpy as np
import pytest

from serving.errors import RefusedError
from serving.http.limits import Limits
from serving.ingress.access import DoorConfig
from serving.ingress.listen import open_doors
from serving.ingress.protobuf_types import METHODS, SERVICE, message
from serving.logs.file import OpenLog
from serving.logs.line import Level
from serving.node.links.peer_connection import UplinkTimeouts
from serving.node.node_core import Routed
from serving.node.server import NodeServer
from support import node_fakes, open_door
from support.node_fakes import (
    ONLY_EDGE,
    FakeRuntime,
    Servers,
    hierarchy,
    models,
    put_in_force,
)

DOOR_TOKEN = "door-secret-1a2b3c4d5e6f"
CLUSTER_TOKEN = "cluster-secret-9z8y7x6w5v"
NEARLY = "nearly-secret-1a2b3c4d5e6f"
"""a token with a mistake: nearly as good as the right one to who reads it"""
ROW = b"PICTURE-BYTE"
"""one row of a picture of 4 x 4 pixels, so that it is found in whatever form it is shown"""
PIXELS = np.frombuffer(4 * ROW, np.uint8).reshape(4, 4, 3)
HASTY = UplinkTimeouts(
    answer_s=1.0, silence_s=0.3, beat_s=0.05, connecting_s=0.3, queue_s=0.2, again_s=0.02
)
INFER = "/v2/models/depth/infer"


def png() -> bytes:
    """`PIXELS`, neither compressed nor filtered, so that its bytes hold `ROW`."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    size = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    rows = zlib.compress(4 * (b"\0" + ROW), level=0)
    head = b"\x89PNG\r\n\x1a\n"
    return head + chunk(b"IHDR", size) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def traces_of(secret: bytes) -> Iterator[str]:
    """The forms in which `secret` would show in a text: as it is, hexadecimal, base64 at any
    offset, and as a list or an array of numbers."""
    yield secret.decode()
    yield secret.hex()
    for lead in range(3):
        packed = base64.b64encode(b"\0" * lead + secret).decode()
        yield packed[4 if lead else 0 :].rstrip("=")[:-1]
    yield ", ".join(map(str, secret[:3]))
    yield " ".join(map(str, secret[:3]))


SECRETS = [
    trace
    for secret in (ROW, DOOR_TOKEN.encode(), CLUSTER_TOKEN.encode(), NEARLY.encode())
    for trace in traces_of(secret)
] + ["authorization", "bearer", "header-value"]


def ask_http(
    port: int, token: str | None, body: bytes, kind: str = "image/png", path: str = INFER
) -> int:
    headers = {"content-type": kind, "x-other": "header-value"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as caller:
        caller.request("POST", path, body, headers)
        return caller.getresponse().status


def ask_grpc(
    port: int, token: str, model: str = "depth", shape: tuple[int, ...] = (1, 4, 4, 3)
) -> str:
    request = message("ModelInferRequest")(model_name=model)
    request.inputs.add(name="image", datatype="UINT8", shape=shape)
    request.raw_input_contents.append(PIXELS.tobytes())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=METHODS["ModelInfer"][0].SerializeToString,
            response_deserializer=METHODS["ModelInfer"][1].FromString,
        )
        try:
            ask(request, timeout=5, metadata=(("authorization", f"Bearer {token}"),))
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"


def send_raw(port: int, sent: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as caller:
        try:
            caller.sendall(sent)
            caller.recv(1_000)
        except ConnectionResetError:
            return


def framed(fields: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(fields, use_bin_type=True)
    return len(packed).to_bytes(4, "big") + packed


async def doors_go_wrong(http_port: int, grpc_port: int) -> None:
    """Callers without the token, with another, without sense, and some that are right."""
    do, pixels = asyncio.to_thread, PIXELS.tobytes()
    assert await do(ask_http, http_port, DOOR_TOKEN, png()) == 200
    assert await do(ask_http, http_port, None, png()) == 401
    assert await do(ask_http, http_port, NEARLY, png()) == 401
    assert await do(ask_http, http_port, DOOR_TOKEN, pixels) == 422
    assert await do(ask_http, http_port, DOOR_TOKEN, pixels, "application/json") == 400
    assert await do(ask_http, http_port, DOOR_TOKEN, pixels, "text/plain") == 415
    assert await do(ask_http, http_port, DOOR_TOKEN, 3_000 * pixels) == 413
    assert await do(ask_http, http_port, DOOR_TOKEN, png(), path=f"{INFER}?key={NEARLY}") == 200
    assert await do(ask_grpc, grpc_port, DOOR_TOKEN) == "OK"
    assert await do(ask_grpc, grpc_port, NEARLY) == "UNAUTHENTICATED"
    assert await do(ask_grpc, grpc_port, DOOR_TOKEN, "edges") == "NOT_FOUND"
    assert await do(ask_grpc, grpc_port, DOOR_TOKEN, "depth", (9, 9)) == "INVALID_ARGUMENT"
    secret = f"authorization: Bearer {DOOR_TOKEN}\r\n".encode()
    await do(send_raw, http_port, secret + pixels + b"\r\n\r\n")
    await do(send_raw, http_port, b"GET /v2 HTTP/1.1\r\n" + 70 * secret + b"\r\n")


async def the_node_has_a_fault(client: NodeServer, http_port: int, grpc_port: int) -> None:
    """An error that nobody foresaw, under a request over HTTP and one over gRPC."""

    async def broken(task: str, image: np.ndarray, **options: object) -> Routed:
        raise RuntimeError("a fault of the node's own")

    answer = client.answer
    client.answer = broken  # type: ignore[method-assign]
    assert await asyncio.to_thread(ask_http, http_port, DOOR_TOKEN, png()) == 500
    assert await asyncio.to_thread(ask_grpc, grpc_port, DOOR_TOKEN) == "UNKNOWN"
    client.answer = answer  # type: ignore[method-assign]


async def links_go_wrong(
    client: NodeServer, servers: Servers, runtimes: dict[str, FakeRuntime]
) -> None:
    """Strangers, peers that send nonsense up and down, a device that fails, a node that dies."""
    greeting, do = framed([0, CLUSTER_TOKEN]), asyncio.to_thread
    pixels, port = PIXELS.tobytes(), servers.ports["edge"]
    await do(send_raw, port, framed([0, NEARLY]))
    for fields in ([pixels], [2, 1, [["e", "e", "m", ["d"]]], None, [pixels, 4, 3], pixels]):
        await do(send_raw, port, greeting + framed(fields))
    runtimes["two"].fails = True
    await client.answer("depth", PIXELS)
    runtimes["two"].fails = False

    outcomes = cycle([[pixels, pixels, 0], ["e", "e", "m", pixels, 0, 0, 0, 0, []], [pixels]])

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in ([1], [3]):
            size_bytes = int.from_bytes(await reader.readexactly(4), "big")
            _, number, *_ = msgpack.unpackb(await reader.readexactly(size_bytes))
            writer.write(framed(answer if answer == [1] else [3, number, [next(outcomes)]]))
        await reader.read()
        writer.close()

    servers.kill("edge")
    server = await asyncio.start_server(impostor, "127.0.0.1", 0)
    servers.ports["edge"] = server.sockets[0].getsockname()[1]
    for _ in range(10):
        await client.answer("depth", PIXELS)
        await asyncio.sleep(0.02)
    server.close()
    with pytest.raises(RefusedError):
        await client.answer("depth", PIXELS, deadline_s=0.0)


async def everything_goes_wrong() -> None:
    limits = Limits(body_bytes=100_000)
    config = DoorConfig(token=DOOR_TOKEN, limits=limits, access_log=True)
    runtimes = models()
    async with hierarchy(runtimes, token=CLUSTER_TOKEN, timeouts=HASTY) as (client, servers):
        await put_in_force(servers, routes=ONLY_EDGE)
        doors = await open_doors(client, open_door.decode, (4, 4), config)
        try:
            await doors_go_wrong(doors.http_port, doors.grpc_port)
            await the_node_has_a_fault(client, doors.http_port, doors.grpc_port)
            await links_go_wrong(client, servers, runtimes)
        finally:
            await doors.close()


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All that a process said while everything went wrong: its log files, and its records."""
    folder: Path = tmp_path_factory.mktemp("logs")
    stream = io.StringIO()
    everything = logging.StreamHandler(stream)
    everything.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s %(args)s"))
    root = logging.getLogger()
    former = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(everything)
    files = OpenLog(folder, "process", Level.DEBUG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_fakes, "TOKEN", CLUSTER_TOKEN)
        try:
            asyncio.run(everything_goes_wrong())
        finally:
            files.close()
            root.removeHandler(everything)
            root.setLevel(former)
    written = [path.read_text() for path in folder.iterdir()]
    assert len(written) == 2
    return "\n".join([stream.getvalue(), *written])


@pytest.mark.parametrize(
    "event",
    [
        "doors are open", "loaded two", "follows plan version 1", "connected to edge",
        "it did not show the cluster's token", "expected a number as a frame's kind, got bytes",
        "whole numbers as an image's shape", "model two failed on a batch of 1 images",
        "RuntimeError: out of memory", "lost the link to edge", "an outcome is malformed",
        "cut a caller off: this is not HTTP/1.1", "cut a caller off: expected at most 64 headers",
        "a fault of the node's own", f"POST {INFER} 500", "ModelInfer depth UNKNOWN",
        f"POST {INFER} 200", f"POST {INFER} 401",
        f"POST {INFER} 413", "ModelInfer depth OK", "ModelInfer UNAUTHENTICATED",
        "refused ('depth',): deadline", "the node stops",
    ],
)  # fmt: skip
def test_everything_that_went_wrong_is_in_the_log(logged: str, event: str) -> None:
    assert event in logged


def test_no_secret_is_in_the_log_in_any_form(logged: str) -> None:
    said = logged.lower()
    assert [secret for secret in SECRETS if secret.lower() in said] == []


@pytest.mark.parametrize(
    "shown",
    [
        {b"authorization": f"Bearer {DOOR_TOKEN}".encode()},
        png(),
        PIXELS,
        PIXELS.tolist(),
        PIXELS.tobytes().hex(),
        base64.b64encode(b"." + PIXELS.tobytes()),
        base64.b64encode(png()),
        ("authorization", "Basic x"),
        f"frame [0, '{CLUSTER_TOKEN}']",
    ],
    ids=str,
)
def test_a_secret_would_be_found(shown: object) -> None:
    said = f"a line with {shown}".lower()
    assert any(secret.lower() in said for secret in SECRETS)
