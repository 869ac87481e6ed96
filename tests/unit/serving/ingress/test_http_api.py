"""The HTTP door over a real socket, on one client node with a fake model."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import closing

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.http.limits import Limits
from serving.routing.routes import RouteTable
from serving.system import Answer, Outcome, Query
from serving.traffic.live_system import HttpSystem
from support.open_door import SIZE, TASKS, Served, picture, serve_node

PNG = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve_node() as door:
        yield door


def infer(
    served: Served, task: str, body: bytes, kind: str = "image/png", query: str = "", **more: str
) -> httpx.Response:
    headers = {"content-type": kind} if kind else {}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    return httpx.post(f"{served.url}/v2/models/{task}/infer{query}", content=body, headers=headers)


def tensor_request(**more: object) -> bytes:
    image = np.arange(SIZE * SIZE * 3).reshape(1, SIZE, SIZE, 3)
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(image.shape)}
    return json.dumps({"inputs": [{**tensor, "data": image.ravel().tolist()}], **more}).encode()


def test_a_picture_comes_back_as_a_prediction_with_its_way(served: Served) -> None:
    for kind in ("png", "jpeg"):
        response = infer(served, "depth", picture(kind), f"image/{kind}")
        assert response.status_code == 200
        assert response.headers["x-testbed-tensor"] == f"<f2;{SIZE},{SIZE}"
        assert np.frombuffer(response.content, "<f2").tolist() == [7.0] * SIZE * SIZE
        assert json.loads(response.headers["x-testbed-answer"])["plan_version"] == 3


def test_one_request_asks_for_several_tasks(served: Served) -> None:
    before = served.model.images
    response = infer(served, "all", picture(), query="?outputs=segmentation,depth")
    length = int(response.headers["inference-header-content-length"])
    outputs = json.loads(response.content[:length])["outputs"]
    assert [output["name"] for output in outputs] == ["segmentation", "depth"]
    raw = response.content[length:]
    assert np.frombuffer(raw[:16], np.uint8).tolist() == [7] * 16
    assert np.frombuffer(raw[16:], "<f2").tolist() == [7.0] * 16
    assert served.model.images > before

    asked = [{"name": "depth"}, {"name": "segmentation"}]
    answer = infer(served, "all", tensor_request(outputs=asked), "application/json").json()
    assert [output["name"] for output in answer["outputs"]] == ["depth", "segmentation"]
    assert answer["outputs"][0]["shape"] == [1, SIZE, SIZE]
    assert answer["outputs"][0]["parameters"]["node"] == "client"


def test_all_without_names_asks_for_every_task_that_has_a_route(served: Served) -> None:
    refused = infer(served, "all", picture())  # edges has a route, but no link to follow it
    assert (refused.status_code, refused.json()["reason"]) == (503, "no_way")


@pytest.mark.parametrize(
    ("task", "body", "kind", "status", "words"),
    [
        ("dpeth", picture(), "image/png", 404, "no task 'dpeth'; tasks: depth, edges"),
        ("depth/versions/2", picture(), "image/png", 404, "has version 1, not '2'"),
        ("normals", picture(), "image/png", 404, "no onloaded model serves task 'normals'"),
        ("all?outputs=dpeth", picture(), "image/png", 400, "there is no task 'dpeth'"),
        ("depth", picture(), "text/plain", 415, "expected content-type one of"),
        ("depth", picture(), "", 400, "the request is not JSON"),
        ("depth", b"nonsense", "image/png", 422, "8 bytes of something else"),
        ("depth", b"", "image/png", 422, "empty body"),
        ("depth", picture()[:-30], "image/png", 422, "PNG"),
        ("depth", picture(size=8), "image/png", 422, "expected an image of 4 x 4 pixels"),
        ("depth", b"x" * (Limits.body_bytes + 1), "image/png", 413, "expected at most"),
        ("depth", b" " * (Limits.json_bytes + 1), "application/json", 413, "send raw tensors"),
        ("edges", picture(), "image/png", 503, "has no link to edge"),
        ("depth", tensor_request(outputs=[{"name": "x"}]), "", 400, "has one, 'prediction'"),
    ],
)
def test_what_cannot_be_answered_says_why(
    served: Served, task: str, body: bytes, kind: str, status: int, words: str
) -> None:
    path, _, query = task.partition("?")
    got = infer(served, path, body, kind, query and f"?{query}")
    assert got.status_code == status
    assert words in got.json()["error"]
    assert ("retry-after" in got.headers) == (status == 503)


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v2/models/depth/infer", 405, "expected POST, got GET"),
        ("POST", "/v2", 405, "expected GET, got POST"),
        ("DELETE", "/v2/models/depth", 405, "expected GET"),
        ("GET", "/elsewhere", 404, "expected POST /v2/models/TASK/infer"),
        ("GET", "/v2/models/dpeth/stats", 404, "there is no task 'dpeth'"),
    ],
)
def test_other_paths_and_methods(
    served: Served, method: str, path: str, status: int, words: str
) -> None:
    got = httpx.request(method, served.url + path)
    assert got.status_code == status
    assert words in got.json()["error"]
    assert ("allow" in got.headers) == (status == 405)


def test_health_and_description(served: Served) -> None:
    def get(path: str) -> httpx.Response:
        return httpx.get(served.url + path)

    assert get("/v2/health/live").json() == {"live": True}
    assert get("/v2/health/ready").status_code == 200
    about = get("/v2").json()
    assert (about["name"], about["plan_version"]) == ("client", 3)
    assert about["tasks"] == list(TASKS)
    assert get("/v2/models/depth/ready").status_code == 200
    assert get("/v2/models/all/versions/1/ready").status_code == 200
    assert get("/v2/models/normals/ready").status_code == 503
    tensors = get("/v2/models/depth").json()
    assert tensors["inputs"][0]["shape"] == [-1, SIZE, SIZE, 3]
    assert tensors["outputs"][0]["datatype"] == "FP16"
    assert [out["name"] for out in get("/v2/models/all").json()["outputs"]] == list(TASKS)
    assert httpx.head(f"{served.url}/v2").status_code == 200


def test_a_head_that_comes_again_finds_the_node_as_it_is_then() -> None:
    """Its bytes are the same, and nothing of the first answer may be in the second one."""
    with serve_node() as served, httpx.Client(base_url=served.url) as caller:
        assert caller.get("/v2/models/normals/ready").status_code == 503
        table = served.node.table
        routes = {**table.routes, "normals": table.routes["depth"]}
        served.call(lambda: served.node.route(RouteTable(9, routes)))
        for _ in range(2):
            assert caller.get("/v2/models/normals/ready").status_code == 200
            assert caller.get("/v2").json()["plan_version"] == 9
            missing = caller.get("/v2/nothing", headers={"x-request-id": "a"})
            assert missing.headers.get_list("x-request-id") == ["a"]
            assert caller.put("/v2").headers.get_list("allow") == ["GET, HEAD"]


def test_statistics_count_every_request_and_image() -> None:
    with serve_node() as served:
        asked = [infer(served, "depth", picture(), x_client_id="crane") for _ in range(3)]
        asked.append(infer(served, "edges", picture(), x_client_id="crane"))
        assert [response.status_code for response in asked] == [200, 200, 200, 503]
        stats = httpx.get(f"{served.url}/v2/models/stats").json()["model_stats"]
        by_name = {entry["name"]: entry for entry in stats}
        depth = by_name["depth"]["inference_stats"]
        assert list(by_name) == [*TASKS, "all"]
        assert (depth["success"]["count"], depth["fail"]["count"]) == (3, 0)
        assert by_name["edges"]["inference_stats"]["fail"]["count"] == 1
        assert by_name["depth"]["inference_count"] == 3
        assert depth["success"]["ns"] > depth["compute_infer"]["ns"] > 0
        (only,) = httpx.get(f"{served.url}/v2/models/depth/stats").json()["model_stats"]
        assert only == by_name["depth"]
        callers = httpx.get(f"{served.url}/v2/callers").json()["callers"]
        assert callers == {"crane": {"answered": 3, "refused": 1}}


def test_a_request_id_comes_back(served: Served) -> None:
    assert infer(served, "depth", picture(), x_request_id="q-1").headers["x-request-id"] == "q-1"
    refused = infer(served, "edges", picture(), x_request_id="q-2")
    assert refused.headers["x-request-id"] == "q-2"
    assert infer(served, "depth", tensor_request(id="q-3"), "").json()["id"] == "q-3"
    long = infer(served, "depth", picture(), x_request_id="x" * 129)
    assert (long.status_code, "x-request-id" in long.headers) == (400, False)


def test_a_deadline_that_passes_is_a_refusal() -> None:
    with serve_node(pass_s=0.3) as served:
        late = infer(served, "depth", picture(), x_deadline_ms="50")
        assert (late.status_code, late.json()["reason"]) == (503, "deadline")
        late = infer(served, "depth", tensor_request(parameters={"timeout": 50_000}), "")
        assert (late.status_code, late.json()["reason"]) == (503, "deadline")
        assert infer(served, "depth", picture(), x_deadline_ms="9000").status_code == 200


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "1e99", ""])
def test_a_deadline_must_be_a_time(served: Served, text: str) -> None:
    got = infer(served, "depth", picture(), x_deadline_ms=text)
    assert got.status_code == 400
    assert "x-deadline-ms" in got.json()["error"]


def test_the_driver_tells_answers_refusals_and_errors_apart(served: Served) -> None:
    async def scenario() -> list[Answer]:
        urls = {"client": served.url, "gone": "http://127.0.0.1:9"}
        async with HttpSystem(urls) as live:
            return [
                await live.send(Query("client", "depth", picture())),
                await live.send(Query("client", "edges", picture())),
                await live.send(Query("client", "normals", picture())),
                await live.send(Query("client", "depth", b"nonsense")),
                await live.send(Query("gone", "depth", picture())),
            ]

    answered, refused, unserved, bad, gone = asyncio.run(scenario())
    assert answered.outcome is Outcome.ANSWERED
    assert answered.prediction is not None
    assert answered.prediction.shape == (SIZE, SIZE)
    assert (answered.tier, answered.model, answered.bound_s) == ("client", "m", 0.2)
    assert (refused.outcome, refused.reason) == (Outcome.SHED, "no_way")
    assert (unserved.outcome, unserved.reason) == (Outcome.SHED, "not_served")
    assert bad.outcome is Outcome.ERROR
    assert "HTTP 422" in bad.reason
    assert gone.outcome is Outcome.ERROR


def damaged(kind: str, cut: int, place: int, patch: bytes) -> bytes:
    body = bytearray(picture(kind))
    body[place % len(body) : place % len(body) + len(patch)] = patch
    return bytes(body[: len(body) - cut])


def test_no_picture_makes_a_500(served: Served) -> None:
    """Damaged pictures are answered or refused: a decoder's fault is the caller's."""
    with httpx.Client() as client:

        @settings(max_examples=60, deadline=None)
        @given(
            kind=st.sampled_from(["png", "jpeg"]),
            cut=st.integers(0, 40),
            place=st.integers(0, 700),
            patch=st.binary(max_size=8),
        )
        def ask(kind: str, cut: int, place: int, patch: bytes) -> None:
            body = damaged(kind, cut, place, patch)
            headers = {"content-type": f"image/{kind}"}
            url = f"{served.url}/v2/models/depth/infer"
            assert client.post(url, content=body, headers=headers).status_code in {200, 422}

        ask()


def test_head_old_http_and_expectations_are_kept(served: Served) -> None:
    """What an answer in one write has to look after itself."""
    body = picture()
    post = (
        b"POST /v2/models/depth/infer HTTP/%s\r\nhost: x\r\ncontent-type: image/png\r\n"
        b"%scontent-length: %d"
    )
    with closing(socket.create_connection(("127.0.0.1", served.http), timeout=5)) as caller:
        caller.sendall(b"HEAD /v2 HTTP/1.1\r\nhost: x\r\n\r\n")
        head = caller.recv(4_096)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert head.endswith(b"\r\n\r\n")
        assert b"content-length: 0" not in head

        expects = b"expect: 100-continue\r\n"
        caller.sendall(post % (b"1.1", expects, len(body)) + b"\r\n\r\n")
        assert caller.recv(4_096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(body)
        assert caller.recv(4_096).startswith(b"HTTP/1.1 200 ")

        caller.sendall(post % (b"1.0", b"", len(body)) + b"\r\n\r\n" + body)
        said = bytearray()
        while chunk := caller.recv(4_096):
            said += chunk
        assert b"connection: close\r\n" in said
        assert said.endswith(np.full(SIZE * SIZE, 7, np.float16).tobytes())


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_an_encoding_that_is_none_is_taken(served: Served, encoding: str) -> None:
    headers = {"content-type": "image/png", "content-encoding": encoding}
    asked = httpx.post(f"{served.url}/v2/models/depth/infer", content=picture(), headers=headers)
    assert asked.status_code == 200
