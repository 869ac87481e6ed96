"""A deadline class (F20) is asked for as a model of its own, TASK@CLASS, at both doors."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import httpx
import numpy as np
import pytest

from serving.client.client import Client, NotServedHereError
from serving.ingress.protobuf_types import METHODS, SERVICE
from serving.routing.routes import RouteTable, Target
from support.open_door import SIZE, Served, picture, serve_node

HERE = ((Target("client", "client", "m"), 1.0),)
TABLE = RouteTable(
    9, {"depth": HERE, "depth@fast": HERE, "segmentation": HERE},
    deadlines_s={"depth@fast": 30.0, "depth@never": 30.0, "segmentation": 30.0},
)  # fmt: skip
PIXELS = np.full((SIZE, SIZE, 3), 7, np.uint8)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve_node() as door:
        door.call(lambda: door.node.route(TABLE))
        yield door


def post(served: Served, path: str) -> httpx.Response:
    headers = {"content-type": "image/png"}
    return httpx.post(f"{served.url}/v2/models/{path}", content=picture(), headers=headers)


@pytest.mark.parametrize(
    "path", ["depth@fast/infer", "depth%40fast/infer", "all/infer?outputs=depth@fast,segmentation"]
)
def test_a_class_is_answered_over_http(served: Served, path: str) -> None:
    said = post(served, path)
    assert said.status_code == 200, said.text
    if "outputs" in path:
        assert b'"depth@fast"' in said.content


def test_a_class_is_answered_to_the_python_client(served: Served) -> None:
    with Client(served.url) as node:
        assert node.ready("depth@fast")
        assert not node.ready("depth@never")  # the plan sheds it all here
        answer = node.infer("depth@fast", PIXELS)
        assert (answer.model, float(answer.values.flat[0])) == ("m", 7.0)
        both = node.infer(["depth", "depth@fast"], PIXELS)
        assert set(both) == {"depth", "depth@fast"}
        assert node.model("depth@fast").outputs == node.model("depth").outputs
        assert node.statistics()["depth@fast"].answered >= 1
        with pytest.raises(NotServedHereError, match="no onloaded model serves task 'depth@never'"):
            node.infer("depth@never", PIXELS)
    assert httpx.get(f"{served.url}/v2").json()["models"][-2:] == ["depth@fast", "depth@never"]
    assert "depth@fast" in served.call(served.node.snapshot).arrived


def test_a_class_is_answered_over_grpc(served: Served) -> None:
    request_class, response_class = METHODS["ModelInfer"]
    request = request_class(model_name="depth@fast")
    request.inputs.add(name="image", datatype="UINT8", shape=[1, SIZE, SIZE, 3])
    request.raw_input_contents.append(PIXELS.tobytes())
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc}") as channel:
        ask = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        assert ask(request, timeout=10).model_name == "depth@fast"
        request.model_name = "depth@fsat"
        with pytest.raises(grpc.RpcError) as refused:
            ask(request, timeout=10)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert refused.value.details() == "depth has no class 'fsat'; its classes: fast, never"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("depth@slow/infer", 404, "depth has no class 'slow'; its classes: fast, never"),
        ("normals@fast/infer", 404, "normals has no class 'fast'; its classes: none"),
        ("dpeth@fast/infer", 404, "there is no task 'dpeth@fast'; tasks: depth, edges, normals, "),
        (
            "all/infer?outputs=depth@slow", 400,
            "outputs: depth has no class 'slow'; its classes: fast, never",
        ),
    ],
)  # fmt: skip
def test_an_unknown_class_is_refused_with_those_there_are(
    served: Served, path: str, status: int, message: str
) -> None:
    said = post(served, path)
    assert said.status_code == status
    assert said.json()["error"].startswith(message)
    assert said.json()["reason"] == "bad_query"


def test_a_class_of_a_plan_of_before_is_not_known_any_more() -> None:
    with serve_node() as served:
        served.call(lambda: served.node.route(TABLE))
        assert post(served, "depth@fast/infer").status_code == 200
        served.call(lambda: served.node.route(RouteTable(10, {"depth": HERE})))
        said = post(served, "depth@fast/infer")
        assert said.status_code == 404
        assert said.json()["error"] == "depth has no class 'fast'; its classes: none"
