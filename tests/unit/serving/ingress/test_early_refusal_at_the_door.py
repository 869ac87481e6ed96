"""Under overload the door refuses from a request's head alone, by the same words and counts."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import grpc
import httpx
import pytest

from serving.errors import RefusalReason
from serving.ingress.access import DoorConfig
from serving.ingress.protobuf_types import SERVICE, message
from support.open_door import Served, picture, serve_node

pytestmark = pytest.mark.real_time

PASS_S, WINDOW_S = 1.0, 0.7  # one query can be answered within 2 T_b, a second behind it cannot
POST = b"POST /v2/models/depth/infer HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"
BAD = b"not a picture"
FULL = RefusalReason.OVERLOADED


@contextmanager
def full_node(config: DoorConfig | None = None) -> Iterator[tuple[Served, dict[str, str]]]:
    """A node that computes one answer, and has refused a second query for want of room."""
    token = {"authorization": f"Bearer {config.token}"} if config and config.token else {}
    with serve_node(config, pass_s=PASS_S, window_s=WINDOW_S) as served:
        first = threading.Thread(target=infer, args=(served,), kwargs=token)
        first.start()
        end_s = time.monotonic() + 10
        while not served.node.snapshot().in_flight:
            assert time.monotonic() < end_s
            time.sleep(0.01)
        assert infer(served, b"", **token).status_code == 503  # read, and then refused
        try:
            yield served, token
        finally:
            first.join(timeout=10)


def infer(served: Served, body: bytes = b"", **headers: str) -> httpx.Response:
    kind = {"content-type": "image/png"} | headers
    url = f"{served.url}/v2/models/depth/infer"
    return httpx.post(url, content=body or picture(), headers=kind)


def test_a_query_that_would_be_refused_anyway_is_not_read() -> None:
    with full_node() as (served, _):
        before = served.node.snapshot()
        reply = infer(served, BAD, **{"x-request-id": "seven", "x-client-id": "ann"})
        assert reply.status_code == 503  # once read, it would have been 422
        assert reply.json()["reason"] == "overloaded"
        assert 0 < reply.json()["retry_after_s"] < 2
        assert reply.headers["retry-after"] == "1"
        assert reply.headers["x-request-id"] == "seven"
        after = served.node.snapshot()
        assert after.arrived["depth"] == before.arrived["depth"] + 1
        assert after.refused[FULL] == before.refused[FULL] + 1
        assert httpx.get(f"{served.url}/v2/callers").json() == {"callers": {"ann": {"refused": 1}}}


def test_the_connection_goes_on_behind_a_body_that_was_not_read() -> None:
    with (
        full_node() as (served, _),
        closing(socket.create_connection(("127.0.0.1", served.http), timeout=10)) as caller,
    ):
        head = POST + b"content-length: %d\r\n\r\n" % len(BAD)
        caller.sendall(head + BAD + head)  # two at once, the second one's body later
        said = b""
        while said.count(b"retry_after_s") < 2:
            said += caller.recv(4_096)
        assert said.count(b"HTTP/1.1 503 ") == 2
        time.sleep(PASS_S + 1.1)  # the pass ends, and the pressure with it
        caller.sendall(BAD + head + BAD)
        said = caller.recv(4_096)
        assert said.startswith(b"HTTP/1.1 422 ")


def test_a_token_is_asked_for_first() -> None:
    with full_node(DoorConfig(token="secret" * 6)) as (served, token):
        assert infer(served, BAD, **token).status_code == 503
        assert infer(served, BAD).status_code == 401


def test_other_tasks_are_read_even_then() -> None:
    with full_node() as (served, _):
        for task, *expected in (("nothing", 404, "bad_query"), ("edges", 503, "no_way")):
            url = f"{served.url}/v2/models/{task}/infer"
            reply = httpx.post(url, content=picture(), headers={"content-type": "image/png"})
            assert [reply.status_code, reply.json()["reason"]] == expected


def ask_by_grpc(served: Served, request: Any, *, token: str = "") -> tuple[str, str]:
    """Status and reason of a call that is answered with an error."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc}") as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with pytest.raises(grpc.RpcError) as refused:
            call(request.SerializeToString(), timeout=10, metadata=metadata)
    error: Any = refused.value
    return error.code().name, dict(error.trailing_metadata()).get("reason", "")


MESSAGES = (
    ("depth", "", ("UNAVAILABLE", "overloaded")),  # once read: INVALID_ARGUMENT
    ("depth", "1", ("UNAVAILABLE", "overloaded")),
    ("depth", "7", ("NOT_FOUND", "")),
    ("nothing", "", ("NOT_FOUND", "")),
    ("edges", "", ("INVALID_ARGUMENT", "")),
)
"""model, version, what the call ends with"""


def test_a_message_is_not_decoded_only_to_be_refused() -> None:
    with full_node() as (served, _):
        for model, version, expected in MESSAGES:
            request = message("ModelInferRequest")(model_name=model, model_version=version)
            before = served.node.snapshot()
            assert ask_by_grpc(served, request) == expected, (model, version)
            after = served.node.snapshot()
            early = expected[0] == "UNAVAILABLE"
            assert after.refused[FULL] == before.refused[FULL] + early, (model, version)
            if early:
                assert after.arrived[model] == before.arrived[model] + 1


def test_a_caller_by_grpc_is_counted_by_its_name_and_asked_for_its_token() -> None:
    request = message("ModelInferRequest")(model_name="depth")
    request.parameters["client_id"].string_param = "ann"
    request.raw_input_contents.append(bytes(2**17))
    with full_node(DoorConfig(token="secret" * 6)) as (served, token):
        secret = token["authorization"].partition(" ")[2]
        assert ask_by_grpc(served, request) == ("UNAUTHENTICATED", "")
        assert ask_by_grpc(served, request, token=secret) == ("UNAVAILABLE", "overloaded")
        counted = httpx.get(f"{served.url}/v2/callers", headers=token).json()
        assert counted == {"callers": {"ann": {"refused": 1}}}


def test_pages_are_read_even_then() -> None:
    with full_node() as (served, _):
        assert httpx.get(f"{served.url}/v2/health/ready").status_code == 200
        stats = httpx.get(f"{served.url}/v2/models/depth/stats").json()["model_stats"][0]
        refused = served.node.snapshot().refused[FULL]
        assert stats["inference_stats"]["fail"]["count"] == refused > 0


def test_what_is_said_again_in_the_same_bytes_is_counted_everywhere() -> None:
    with (
        full_node() as (served, _),
        closing(socket.create_connection(("127.0.0.1", served.http), timeout=10)) as caller,
    ):
        before = served.node.snapshot()
        head = POST + b"content-length: %d\r\n\r\n" % len(BAD)
        for _ in range(20):  # the same head comes again and again
            caller.sendall(head + BAD)
            assert caller.recv(4_096).startswith(b"HTTP/1.1 503 ")
        after = served.node.snapshot()
        assert after.arrived["depth"] == before.arrived["depth"] + 20
        assert after.refused[FULL] == before.refused[FULL] + 20
        stats = httpx.get(f"{served.url}/v2/models/depth/stats").json()["model_stats"][0]
        assert stats["inference_stats"]["fail"]["count"] == after.refused[FULL]


def test_callers_who_name_themselves_are_counted_by_name() -> None:
    with full_node() as (served, _), httpx.Client() as caller:
        named = {"content-type": "image/png", "x-client-id": "ann"}
        for _ in range(5):
            url = f"{served.url}/v2/models/depth/infer"
            assert caller.post(url, content=BAD, headers=named).status_code == 503
        assert caller.get(f"{served.url}/v2/callers").json() == {"callers": {"ann": {"refused": 5}}}
