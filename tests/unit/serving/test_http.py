"""The HTTP door over a real socket, on one client node with a fake model."""

from __future__ import annotations

import asyncio
import io
import socket
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cluster.topology import Node
from serving.ingress.client import HttpSystem
from serving.ingress.http import MAX_BODY_BYTES, HttpIngress
from serving.node.router import RouteTable, Target
from serving.node.server import NodeConfig, NodeServer
from serving.system import Outcome, Query

SIZE = 4
TASKS = ("depth", "edges", "normals")


class Model:
    """Depth is the image's red channel; edges fails."""

    def run(self, images):
        return {"depth": images[..., 0].astype(np.float16)}

    def close(self) -> None:
        pass


def decode(body: bytes) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(body)).convert("RGB")
    except OSError:
        raise ValueError("not a PNG or JPEG image") from None
    if image.size != (SIZE, SIZE):
        raise ValueError(f"expected an image of {SIZE} x {SIZE} pixels, got {image.size}")
    return np.asarray(image)


def png(size: int = SIZE, value: int = 7) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


@asynccontextmanager
async def door():
    """A served node; yields its base URL."""
    node = Node(name="client", tier="client", memory=1, compute=0.5, window_s=0.1)
    server = NodeServer(
        NodeConfig(node, None, TASKS, "token", {"client": 0.2}),
        lambda _: Model(),
        lambda _: (SIZE, SIZE, 3),
    )
    await server.load(("m",))
    local = Target("client", "client", "m")
    away = Target("edge", "edge", "m")
    server.route(RouteTable(3, {"depth": ((local, 1.0),), "edges": ((away, 1.0),)}))
    listener = socket.create_server(("127.0.0.1", 0))
    web = uvicorn.Server(
        uvicorn.Config(HttpIngress(server, decode, (SIZE, SIZE)), log_level="error", lifespan="off")
    )
    serving = asyncio.ensure_future(web.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        web.should_exit = True
        await serving
        server.close()


def exchange(method: str, path: str, **options) -> httpx.Response:
    async def scenario():
        async with door() as url, httpx.AsyncClient() as client:
            return await client.request(method, url + path, **options)

    return asyncio.run(scenario())


def infer(task: str, body: bytes, kind: str = "image/png") -> httpx.Response:
    headers = {"content-type": kind} if kind else {}
    return exchange("POST", f"/v2/models/{task}/infer", content=body, headers=headers)


def test_an_image_comes_back_as_a_prediction_with_its_way() -> None:
    response = infer("depth", png())
    assert response.status_code == 200
    assert response.headers["x-testbed-tensor"] == f"<f2;{SIZE},{SIZE}"
    assert np.frombuffer(response.content, "<f2").tolist() == [7.0] * SIZE * SIZE
    assert '"plan_version": 3' in response.headers["x-testbed-answer"]


@pytest.mark.parametrize(
    ("response", "status", "words"),
    [
        (lambda: infer("dpeth", png()), 404, "there is no task 'dpeth'; tasks: depth, edges"),
        (lambda: infer("normals", png()), 404, "no onloaded model serves task 'normals'"),
        (
            lambda: infer("depth", png(), "text/plain"),
            415,
            "expected content-type one of",
        ),
        (lambda: infer("depth", png(), ""), 400, "the request is not JSON"),
        (lambda: infer("depth", b"nonsense"), 422, "not a PNG or JPEG"),
        (lambda: infer("depth", b""), 422, "not a PNG or JPEG"),
        (lambda: infer("depth", png(8)), 422, "expected an image of 4 x 4 pixels"),
        (lambda: infer("depth", b"x" * (MAX_BODY_BYTES + 1)), 413, "expected at most"),
        (lambda: infer("edges", png()), 503, "has no link to edge"),
        (lambda: exchange("GET", "/v2/models/depth/infer"), 405, "expected POST"),
        (lambda: exchange("GET", "/elsewhere"), 404, "expected POST /v2/models/TASK/infer"),
    ],
)
def test_what_cannot_be_answered_says_why(response, status, words) -> None:
    got = response()
    assert got.status_code == status
    assert words in got.json()["error"]
    assert ("retry-after" in got.headers) == (status == 503)


def test_health_and_description() -> None:
    assert exchange("GET", "/v2/health/live").json() == {"live": True}
    assert exchange("GET", "/v2/health/ready").status_code == 200
    about = exchange("GET", "/v2").json()
    assert (about["name"], about["plan_version"]) == ("client", 3)
    assert about["tasks"] == list(TASKS)
    assert exchange("GET", "/v2/models/depth/ready").status_code == 200
    assert exchange("GET", "/v2/models/normals/ready").status_code == 503
    tensors = exchange("GET", "/v2/models/depth").json()
    assert tensors["inputs"][0]["shape"] == [-1, SIZE, SIZE, 3]
    assert tensors["outputs"][0]["datatype"] == "FP16"


def test_the_client_tells_answers_refusals_and_errors_apart() -> None:
    async def scenario():
        async with door() as url, HttpSystem({"client": url, "gone": "http://127.0.0.1:9"}) as live:
            return [
                await live.send(Query("client", "depth", png())),
                await live.send(Query("client", "edges", png())),
                await live.send(Query("client", "normals", png())),
                await live.send(Query("client", "depth", b"nonsense")),
                await live.send(Query("gone", "depth", png())),
            ]

    answered, refused, unserved, bad, gone = asyncio.run(scenario())
    assert answered.outcome is Outcome.ANSWERED
    assert answered.prediction.shape == (SIZE, SIZE)
    assert (answered.tier, answered.model, answered.bound_s) == ("client", "m", 0.2)
    assert (refused.outcome, refused.reason) == (Outcome.SHED, "no_way")
    assert (unserved.outcome, unserved.reason) == (Outcome.SHED, "not_served")
    assert bad.outcome is Outcome.ERROR
    assert "HTTP 422" in bad.reason
    assert gone.outcome is Outcome.ERROR


def test_an_unmodified_triton_client_is_served() -> None:
    """The public client library, both encodings, over its own connection pool."""
    from tritonclient import http as triton

    image = np.arange(SIZE * SIZE * 3, dtype=np.uint8).reshape(1, SIZE, SIZE, 3)

    def ask(url: str) -> list[np.ndarray]:
        client = triton.InferenceServerClient(url.removeprefix("http://"))
        try:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("depth")
            assert not client.is_model_ready("normals")
            assert client.get_model_metadata("depth")["inputs"][0]["name"] == "image"
            answers = []
            for binary in (True, False):
                tensor = triton.InferInput("image", list(image.shape), "UINT8")
                tensor.set_data_from_numpy(image, binary_data=binary)
                wanted = triton.InferRequestedOutput("prediction", binary_data=binary)
                result = client.infer("depth", [tensor], outputs=[wanted], request_id="r1")
                assert result.get_response()["id"] == "r1"
                answers.append(result.as_numpy("prediction"))
            with pytest.raises(triton.InferenceServerException, match="no onloaded model"):
                client.infer("normals", [tensor])
            return answers
        finally:
            client.close()

    async def scenario():
        async with door() as url:
            return await asyncio.to_thread(ask, url)

    for answer in asyncio.run(scenario()):
        assert answer.dtype == np.float16
        assert answer.tolist() == image[..., 0].tolist()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=200), kind=st.sampled_from(["image/png", "image/jpeg", "x/y", ""]))
def test_no_body_makes_a_500(body, kind) -> None:
    assert infer("depth", body, kind).status_code in {400, 415, 422}
