"""HTTP and gRPC answer alike: one table of requests, asked at both doors of one node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
import httpx
import numpy as np
import pytest

from serving.ingress.protobuf_types import METHODS, SERVICE
from support.open_door import SIZE, Served, serve_node

PIXELS = np.full((1, SIZE, SIZE, 3), 7, np.uint8)
STATUS = {
    200: {"OK"}, 400: {"INVALID_ARGUMENT"}, 404: {"NOT_FOUND"}, 413: {"RESOURCE_EXHAUSTED"},
    422: {"INVALID_ARGUMENT"}, 503: {"UNAVAILABLE", "DEADLINE_EXCEEDED"},
}  # fmt: skip


class Answer(NamedTuple):
    """What both doors say, in words of both."""

    status: int | str
    message: str
    body: dict[str, Any]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve_node() as door:
        yield door


def over_http(served: Served, model: str, asked: dict[str, Any]) -> Answer:
    image = {"name": "image", "datatype": "UINT8", "shape": [1, SIZE, SIZE, 3]}
    tensor = {**image, **asked.get("input", {}), "data": PIXELS.ravel().tolist()}
    body = {"inputs": [tensor], **{k: v for k, v in asked.items() if k != "input"}}
    said = httpx.post(f"{served.url}/v2/models/{model}/infer", json=body)
    return Answer(said.status_code, said.json().get("error", ""), said.json())


def over_grpc(served: Served, model: str, asked: dict[str, Any]) -> Answer:
    request_class, response_class = METHODS["ModelInfer"]
    request = request_class(model_name=model, id=asked.get("id") or "")
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, SIZE, SIZE, 3]}
    request.inputs.add(**{**tensor, **asked.get("input", {})})
    for output in asked.get("outputs") or ():
        added = request.outputs.add(name=output["name"])
        for name, value in output.get("parameters", {}).items():
            set_parameter(added.parameters[name], value)
    for name, value in (asked.get("parameters") or {}).items():
        if value is not None:
            set_parameter(request.parameters[name], value)
    request.raw_input_contents.append(PIXELS.tobytes())
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc}") as channel:
        ask = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        try:
            said = ask(request, timeout=10)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details() or "", {})
    outputs = [
        {"name": o.name, "datatype": o.datatype, "shape": list(o.shape)} for o in said.outputs
    ]
    body = {"model_name": said.model_name, "model_version": said.model_version, "id": said.id}
    return Answer("OK", "", {**body, "outputs": outputs})


def set_parameter(parameter: Any, value: object) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    else:
        parameter.string_param = str(value)


OUTPUT = {"name": "prediction"}


@pytest.mark.parametrize(
    ("model", "asked", "status", "words"),
    [
        ("depth", {"id": "q"}, 200, ""),
        ("depth", {}, 200, ""),
        ("depth", {"id": None, "parameters": {"client_id": None}}, 200, ""),
        ("depth", {"outputs": [OUTPUT]}, 200, ""),
        ("all", {"outputs": [{"name": "depth"}, {"name": "segmentation"}]}, 200, ""),
        ("depth", {"parameters": {"timeout": 5_000_000}}, 200, ""),
        ("depth", {"parameters": {"client_id": "c"}}, 200, ""),
        ("depth", {"outputs": [{"name": "other"}]}, 400, "has one, 'prediction'"),
        ("all", {"outputs": [{"name": "other"}]}, 400, "there is no task 'other'"),
        ("depth", {"outputs": [{**OUTPUT, "parameters": {"shared_memory_region": "r"}}]}, 400,
         "outputs.0: shared_memory_region is not offered"),
        ("depth", {"outputs": [{**OUTPUT, "parameters": {"classification": 3}}]}, 400,
         "outputs.0: classification is not offered"),
        ("depth", {"parameters": {"timeout": 0}}, 400, "expected a positive number"),
        ("depth", {"parameters": {"timeout": True}}, 400, "expected a positive number"),
        ("depth", {"parameters": {"client_id": 5}}, 400, "expected a string"),
        ("depth", {"input": {"name": "picture"}}, 400, "expected 'image' of datatype UINT8"),
        ("depth", {"input": {"datatype": "FP32"}}, 400, "expected 'image' of datatype UINT8"),
        ("depth", {"input": {"shape": [1, 2, 3]}}, 422, "inputs.0.shape: expected"),
        ("dpeth", {}, 404, "there is no task 'dpeth'"),
        ("normals", {}, 404, "no onloaded model serves task 'normals'"),
        ("edges", {}, 503, "has no link to edge"),
    ],
)  # fmt: skip
def test_both_doors_say_the_same(
    served: Served, model: str, asked: dict[str, Any], status: int, words: str
) -> None:
    http, other = over_http(served, model, asked), over_grpc(served, model, asked)
    assert http.status == status, http
    assert other.status in STATUS[status], other
    assert words in http.message
    assert other.message == http.message
    if status == 200:
        for name in ("model_name", "model_version", "id"):
            assert http.body[name] == other.body[name], name
        told = [{name: output[name] for name in ("name", "datatype", "shape")}
                for output in http.body["outputs"]]  # fmt: skip
        assert told == other.body["outputs"]
