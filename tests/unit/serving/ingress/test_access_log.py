"""The access log: a line for each request at either door, and nothing at all where it is off."""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from serving.http.connection import HttpConnection
from serving.ingress.access import DoorConfig
from serving.ingress.door import Door
from serving.ingress.grpc_api import GrpcApi
from serving.ingress.protobuf_types import METHODS, SERVICE, message
from serving.logs.file import ACCESS
from support.log_records import node_of
from support.open_door import SIZE, Served, picture, serve_node

pytestmark = pytest.mark.real_time

TOKEN = "a token of 16 signs or more"
BEARER = {"authorization": f"Bearer {TOKEN}"}
PNG = {"content-type": "image/png"}
Metadata = tuple[tuple[str, str], ...]
LOGGED = DoorConfig(token=TOKEN, access_log=True)


Lines = Callable[[int], list[str]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Waits for so many lines of the access log; gives them without ports and times."""
    caplog.set_level(logging.INFO, "serving")

    def read(count: int) -> list[str]:
        end_s = time.monotonic() + 5
        while len(found := [r for r in caplog.records if r.name == ACCESS]) < count:
            assert time.monotonic() < end_s, found
            time.sleep(0.01)
        assert {node_of(record) for record in found} == {"client"}
        texts = [re.sub(r"127.0.0.1:\d+", "PEER", record.getMessage()) for record in found]
        return [re.sub(r"\d+\.\d ms", "N ms", text) for text in texts]

    return read


def post(
    served: Served,
    path: str = "/v2/models/depth/infer",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    shown = PNG | (headers or {})
    return httpx.post(f"{served.url}{path}", content=body or picture(), headers=shown)


def test_each_request_over_http_is_a_line(lines: Lines) -> None:
    with serve_node(LOGGED) as served:
        httpx.get(f"{served.url}/v2/health/ready?key=hidden", headers=BEARER)
        post(served)  # no token
        post(served, headers=BEARER | {"x-client-id": "shop"})
        post(served, "/v2/models/all/infer?outputs=depth,segmentation", headers=BEARER)
        post(served, body=b"nonsense", headers=BEARER)
        post(served, "/v2/models/normals/infer", headers=BEARER)
        found = lines(6)
    assert found == [
        "http PEER - GET /v2/health/ready 200 N ms -",
        "http PEER - POST /v2/models/depth/infer 401 N ms -",
        "http PEER shop POST /v2/models/depth/infer 200 N ms client",
        "http PEER - POST /v2/models/all/infer 200 N ms client",
        "http PEER - POST /v2/models/depth/infer 422 N ms -",
        "http PEER - POST /v2/models/normals/infer 404 N ms -",
    ]


def test_heads_that_come_again_are_lines_too(lines: Lines) -> None:
    """Their requests take a shorter way through the connection."""
    with serve_node(DoorConfig(access_log=True)) as served, httpx.Client() as caller:
        for _ in range(3):
            caller.post(f"{served.url}/v2/models/depth/infer", content=picture(), headers=PNG)
            caller.get(f"{served.url}/v2")
        found = lines(6)
    assert found == 3 * [
        "http PEER - POST /v2/models/depth/infer 200 N ms client",
        "http PEER - GET /v2 200 N ms -",
    ]


def test_faults_and_callers_that_leave_are_lines(lines: Lines) -> None:
    with serve_node(DoorConfig(access_log=True), pass_s=0.3) as served:
        with closing(socket.create_connection(("127.0.0.1", served.http))) as caller:
            caller.sendall(b"nonsense\r\n\r\n")
            caller.recv(1_000)
        assert lines(1) == ["http PEER - (no request) 400 - ms -"]
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{served.url}/v2/models/depth/infer", content=picture(), headers=PNG, timeout=0.1
            )
        assert lines(2)[1] == "http PEER - POST /v2/models/depth/infer 499 N ms -"


def test_what_a_caller_sends_cannot_make_a_second_line_or_a_long_one(lines: Lines) -> None:
    with serve_node(DoorConfig(access_log=True)) as served:
        httpx.get(f"{served.url}/a%0Ahttp%20forged%1B[2J")
        httpx.get(f"{served.url}/{'b' * 5_000}")
        forged, long = lines(2)
    assert forged == "http PEER - GET /a?http?forged?[2J 404 N ms -"
    assert len(long) < 250


def test_each_call_over_grpc_is_a_line(lines: Lines) -> None:
    request = message("ModelInferRequest")(model_name="depth")
    request.inputs.add(name="image", datatype="UINT8", shape=(1, SIZE, SIZE, 3))
    request.raw_input_contents.append(np.zeros((SIZE, SIZE, 3), np.uint8).tobytes())
    named = message("ModelInferRequest")()
    named.CopyFrom(request)
    named.parameters["client_id"].string_param = "shop"
    bad = message("ModelInferRequest")(model_name="normals")
    bad.inputs.extend(request.inputs)
    bad.raw_input_contents.extend(request.raw_input_contents)
    metadata: Metadata = (("authorization", f"Bearer {TOKEN}"),)

    def call(served: Served, method: str, asked: Any, shown: Metadata = metadata) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{served.grpc}") as channel:
            ask = channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=METHODS[method][0].SerializeToString,
                response_deserializer=METHODS[method][1].FromString,
            )
            try:
                ask(asked, timeout=5, metadata=shown)
            except grpc.RpcError:
                return

    with serve_node(LOGGED) as served:
        call(served, "ServerLive", message("ServerLiveRequest")())
        call(served, "ModelInfer", request)
        call(served, "ModelInfer", named)
        call(served, "ModelInfer", bad)
        call(served, "ModelInfer", request, ())
        found = lines(5)
    assert found == [
        "grpc PEER - ServerLive OK N ms -",
        "grpc PEER - ModelInfer depth OK N ms client",
        "grpc PEER shop ModelInfer depth OK N ms client",
        "grpc PEER - ModelInfer normals NOT_FOUND N ms -",
        "grpc PEER - ModelInfer UNAUTHENTICATED N ms -",
    ]


def test_off_there_is_no_line_and_nothing_in_a_requests_way(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doors are made of the same classes as if there were no access log."""
    made: list[type] = []
    kinds: tuple[Any, ...] = (HttpConnection, Door)
    for kind in kinds:
        begin = kind.__init__

        def noted(self: Any, *arguments: Any, _begin: Any = begin, **options: Any) -> None:
            made.append(type(self))
            _begin(self, *arguments, **options)

        monkeypatch.setattr(kind, "__init__", noted)
    caplog.set_level(logging.DEBUG, "serving")
    with serve_node() as served:
        assert post(served).status_code == 200
    assert set(made) == {HttpConnection, Door}
    assert [record for record in caplog.records if record.name == ACCESS] == []

    async def handler(request: Any, context: Any) -> str:
        raise AssertionError("it is only looked at")

    door: Any = None
    assert GrpcApi(door)._logged("ServerLive", handler) is handler


def test_doors_say_where_they_listen_but_not_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving")
    with serve_node(DoorConfig(token=TOKEN)) as served:
        ports = served.http, served.grpc
    (opened,) = [r.getMessage() for r in caplog.records if "doors are open" in r.getMessage()]
    assert opened == (
        f"doors are open at 127.0.0.1: HTTP on port {ports[0]}, gRPC on port {ports[1]}; "
        "callers need a token"
    )
    assert TOKEN not in caplog.text


def test_callers_that_break_the_protocol_are_a_line_a_minute_of_each_kind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "serving")
    with serve_node() as served:
        for _ in range(5):
            with closing(socket.create_connection(("127.0.0.1", served.http))) as caller:
                caller.sendall(b"nonsense\r\n\r\n")
                assert b"400" in caller.recv(1_000)
    faults = [record for record in caplog.records if "cut a caller off" in record.getMessage()]
    assert [(record.levelname, node_of(record), record.getMessage()) for record in faults] == [
        ("INFO", "client", "cut a caller off: this is not HTTP/1.1")
    ]
