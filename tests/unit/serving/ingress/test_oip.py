"""Questions and replies as bytes, over HTTP and gRPC: by example and by fuzzing."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import BadQueryError
from serving.http.limits import Limits
from serving.ingress import oip_json as oip
from serving.ingress import oip_protobuf as oip_grpc
from serving.ingress.grpc_message import parse_message, split_tensors
from serving.ingress.inference_protocol import InferenceRequest, InferenceResponse, OutputTensor
from serving.ingress.protobuf_types import message

SIZE = (2, 3)
COUNT = 2 * 3 * 3
LIMITS = Limits(json_bytes=4_096)
PIXELS = bytes(range(COUNT))
RAW = {"binary_data_size": COUNT}


def request(
    shape: tuple[int, ...] = (1, 2, 3, 3), data: object = None, **more: object
) -> dict[str, Any]:
    tensor: dict[str, object] = {"name": "image", "datatype": "UINT8", "shape": list(shape)}
    count = int(np.prod(shape))
    tensor["data"] = list(range(count)) if data is None else data
    return {"inputs": [{**tensor, **more}]}


def encode(request: InferenceRequest, response: InferenceResponse) -> tuple[bytes, int | None]:
    """The whole answer, and the length of its header."""
    return encode_counting(request, response)[:2]


def encode_counting(
    request: InferenceRequest, response: InferenceResponse
) -> tuple[bytes, int | None, int]:
    """The same, and how often others could have their turn."""
    work, turns = oip.encode_in_slices(request, response), 0
    while True:
        try:
            next(work)
        except StopIteration as done:
            return (*done.value, turns)
        turns += 1


def parse_grpc(request: Any) -> InferenceRequest:
    return parse_raw_message(request.SerializeToString())


def parse_raw_message(raw: bytes) -> InferenceRequest:
    rest, tensors = split_tensors(raw)
    asked = parse_message(rest, message("ModelInferRequest"))
    return oip_grpc.parse_request(asked, tensors, SIZE, LIMITS)


def parse(header: dict[str, Any], raw: bytes | None = None) -> InferenceRequest:
    body = json.dumps(header).encode()
    length = None if raw is None else len(body)
    return oip.parse_request(body + (raw or b""), length, SIZE, LIMITS)


def refused(header: dict[str, Any], raw: bytes | None = None) -> str:
    with pytest.raises(BadQueryError) as caught:
        parse(header, raw)
    assert 400 <= caught.value.status < 500
    return str(caught.value)


def grpc_request(shape: tuple[int, ...] = (1, 2, 3, 3), raw: bytes | None = PIXELS) -> Any:
    asked = message("ModelInferRequest")(model_name="depth")
    asked.inputs.add(name="image", datatype="UINT8", shape=shape)
    if raw is not None:
        asked.raw_input_contents.append(raw)
    return asked


def test_json_raw_and_protobuf_tensors_are_the_same_image() -> None:
    header = request(parameters=RAW)
    del header["inputs"][0]["data"]
    listed = grpc_request(raw=None)
    listed.inputs[0].contents.uint_contents.extend(PIXELS)
    for question in (
        parse(request()),
        parse(header, PIXELS),
        parse_grpc(grpc_request()),
        parse_grpc(listed),
    ):
        assert question.images_nhw3.tobytes() == PIXELS
        assert question.images_nhw3.shape == (1, 2, 3, 3)
        assert question.images_nhw3.dtype == np.uint8
        assert question.batched


def test_nested_numbers_are_read_too() -> None:
    nested = np.arange(COUNT).reshape((*SIZE, 3)).tolist()
    assert parse(request((2, 3, 3), data=nested)).images_nhw3.tobytes() == PIXELS


def test_an_answer_comes_back_in_the_form_that_was_asked_for() -> None:
    depth = OutputTensor("depth", np.arange(6, dtype=np.float16).reshape(SIZE), {"node": "edge-0"})
    edges = OutputTensor("edges", np.arange(6, dtype=np.uint8).reshape(SIZE), {})
    plain = parse({**request((2, 3, 3)), "id": "a7"})
    body, header_bytes = encode(plain, InferenceResponse("all", (depth,)))
    answer = json.loads(body)
    assert header_bytes is None
    assert answer["id"] == "a7"
    assert answer["outputs"][0] == {
        "name": "depth", "datatype": "FP16", "shape": [2, 3], "parameters": {"node": "edge-0"},
        "data": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
    }  # fmt: skip

    outputs = [{"name": "depth"}, {"name": "edges", "parameters": {"binary_data": True}}]
    mixed = parse({**request(), "outputs": outputs})
    assert mixed.outputs == ("depth", "edges")
    body, header_bytes = encode(mixed, InferenceResponse("all", (depth, edges)))
    assert header_bytes is not None
    tensors = json.loads(body[:header_bytes])["outputs"]
    assert tensors[0]["data"] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert tensors[1]["parameters"]["binary_data_size"] == len(body) - header_bytes
    assert body[header_bytes:] == edges.values.tobytes()

    both = parse({**request(), "parameters": {"binary_data_output": True}})
    body, header_bytes = encode(both, InferenceResponse("all", (depth, edges)))
    assert body[header_bytes:] == depth.values.tobytes() + edges.values.tobytes()


def test_what_json_cannot_say_comes_back_as_null() -> None:
    values = np.array([np.nan, np.inf, 1.0], np.float16)
    body, _ = encode(parse(request()), InferenceResponse("depth", (OutputTensor("p", values, {}),)))
    assert json.loads(body, parse_constant=pytest.fail)["outputs"][0]["data"] == [None, None, 1.0]


@pytest.mark.parametrize("count", [1, oip.SLICE, oip.SLICE + 1, 3 * oip.SLICE, 100_000])
@pytest.mark.parametrize("kind", ["float16", "uint8", "int8"])
def test_an_answer_in_slices_is_the_one_in_a_piece(count: int, kind: str) -> None:
    values = (np.arange(count) % 100).astype(kind).reshape(1, count)
    values[0, 0] = np.nan if kind == "float16" else 0
    outputs = tuple(OutputTensor(name, values, {"node": "a"}) for name in ("depth", "edges"))
    asked = InferenceRequest(np.zeros((1, 1, 1, 3), np.uint8), binary=frozenset({"edges"}))
    body, header_bytes, turns = encode_counting(asked, InferenceResponse("all", outputs))
    assert turns == (count - 1) // oip.SLICE
    told = json.loads(body[:header_bytes])
    numbers = values.ravel().tolist()
    assert told["outputs"][0]["data"] == [None if n != n else n for n in numbers]
    assert list(told["outputs"][0]) == ["name", "datatype", "shape", "data", "parameters"]
    assert "data" not in told["outputs"][1]
    assert body[header_bytes:] == values.tobytes()


def test_an_answer_of_no_numbers_is_an_empty_list() -> None:
    nothing = OutputTensor("depth", np.zeros((1, 0), np.float16), {})
    asked = InferenceRequest(np.zeros((1, 1, 1, 3), np.uint8))
    body, _ = encode(asked, InferenceResponse("depth", (nothing,)))
    assert json.loads(body)["outputs"][0]["data"] == []


def test_time_outs_and_names_of_callers_are_read_from_parameters() -> None:
    asked = {"timeout": 250_000, "client_id": "crane-7"}
    assert parse({**request(), "parameters": asked}).timeout_s == 0.25
    assert parse({**request(), "parameters": asked}).caller == "crane-7"
    spoken = grpc_request()
    spoken.parameters["timeout"].int64_param = 250_000
    spoken.parameters["client_id"].string_param = "crane-7"
    question = parse_grpc(spoken)
    assert (question.timeout_s, question.caller) == (0.25, "crane-7")


@pytest.mark.parametrize(
    ("header", "raw", "words"),
    [
        ({}, None, "expected `inputs` with one tensor"),
        ({"inputs": []}, None, "expected `inputs` with one tensor"),
        (request(name="picture"), None, "expected 'image' of datatype UINT8, got 'picture'"),
        (request(datatype="FP32"), None, "got 'image' of 'FP32'"),
        (request((1, 3, 2, 3)), None, "inputs.0.shape: expected [2, 3, 3]"),
        (request((65, 2, 3, 3), data=[]), None, "n at most 64"),
        (request((0, 2, 3, 3), data=[]), None, "n at most 64"),
        (request((1, 1, 2, 3, 3)), None, "inputs.0.shape: expected [2, 3, 3]"),
        (request(data=[1, 2]), None, "expected 18 numbers, got 2"),
        (request(data=[256] * 18), None, "whole numbers from 0 to 255"),
        (request(data=[1.5] * 18), None, "whole numbers from 0 to 255"),
        (request(data=["1"] * 18), None, "whole numbers from 0 to 255"),
        (request(data=[True] * 18), None, "whole numbers from 0 to 255"),
        (request(data=[float("nan")] * 18), None, "the request is not JSON"),
        (request(data=[10**30] * 18), None, "whole numbers from 0 to 255"),
        (request(parameters=RAW), b"short", "expected 18 raw"),
        (request(parameters={"shared_memory_region": "x"}), None, "shared memory"),
        (request(parameters=[1]), None, "inputs.0.parameters: expected an object"),
        ({**request(), "parameters": 3}, None, "parameters: expected an object"),
        ({**request(), "parameters": {"timeout": -5}}, None, "parameters.timeout: expected"),
        ({**request(), "parameters": {"timeout": True}}, None, "parameters.timeout: expected"),
        ({**request(), "outputs": {}}, None, "outputs: expected a list"),
        ({**request(), "outputs": [7]}, None, "outputs.0: expected an object with a `name`"),
        (request((64, 2, 3, 3)), None, "of JSON"),
    ],
)
def test_what_is_wrong_is_said(header: dict[str, Any], raw: bytes | None, words: str) -> None:
    assert words in refused(header, raw)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (message("ModelInferRequest")(), "expected `inputs` with one tensor"),
        (grpc_request((1, 3, 2, 3)), "inputs.0.shape: expected [2, 3, 3]"),
        (grpc_request((2**62, 2, 3, 3)), "n at most 64"),
        (grpc_request(raw=b"short"), "expected one of 18 bytes, got [5]"),
        (grpc_request(raw=None), "expected 18 numbers"),
    ],
)
def test_what_is_wrong_is_said_over_grpc(asked: Any, words: str) -> None:
    with pytest.raises(BadQueryError) as caught:
        parse_grpc(asked)
    assert words in str(caught.value)


def test_a_header_longer_than_the_body_is_refused() -> None:
    for length in (0, -1, 10_000):
        with pytest.raises(BadQueryError, match="the body has"):
            oip.parse_request(b"{}", length, SIZE, LIMITS)


def test_null_is_as_good_as_left_out() -> None:
    """`"id": null` came back as the text "None", and a caller of that name was counted."""
    asked = {**request(), "id": None, "outputs": None}
    read = parse({**asked, "parameters": {"client_id": None, "timeout": None}})
    assert (read.request_id, read.caller, read.outputs, read.timeout_s) == ("", "", (), None)


@pytest.mark.parametrize("value", [5, True, ["a"], {"a": 1}, [[[[[[[[["deep"]]]]]]]]]])
def test_an_id_that_is_no_text_is_refused(value: object) -> None:
    for asked in ({**request(), "id": value}, {**request(), "parameters": {"client_id": value}}):
        with pytest.raises(BadQueryError, match="expected a string, got"):
            parse(asked)


def test_truth_among_numbers_is_refused() -> None:
    numbers = [1] * (COUNT - 1)
    for value in (True, False):
        with pytest.raises(BadQueryError, match="whole numbers from 0 to 255"):
            parse(request((2, 3, 3), data=[*numbers, value]))
    assert parse({**request((2, 3, 3), data=[*numbers, 1]), "id": "true"}).request_id == "true"


def test_lists_that_are_ragged_or_mixed_are_refused() -> None:
    for data in ([[1, 2], 3], [1, [2, 3]], [[[1]], [2]], "text", {"a": 1}, None):
        with pytest.raises(BadQueryError, match=r"whole numbers|expected 18 numbers"):
            parse(request((2, 3, 3), data=data if data is not None else {"x": None}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
tensors = st.fixed_dictionaries(
    {"name": st.just("image"), "datatype": st.just("UINT8")},
    optional={
        "shape": json_values | st.just([2, 3, 3]),
        "data": json_values | st.lists(st.integers(-1, 256) | json_values, max_size=COUNT),
        "parameters": json_values
        | st.fixed_dictionaries({"binary_data_size": json_values | st.just(COUNT)}),
    },
)
requests = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, min_size=1, max_size=2)},
    optional={
        "id": json_values,
        "outputs": json_values | st.lists(st.fixed_dictionaries({"name": st.text(max_size=4)})),
        "parameters": json_values
        | st.fixed_dictionaries({}, optional={"timeout": json_values, "client_id": json_values}),
    },
)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int64])
@pytest.mark.parametrize("count", [0, 1, 127, 128, 20_000])
def test_an_answer_over_grpc_is_what_protobuf_reads(kind: type[np.generic], count: int) -> None:
    """Also of numbers that do not lie side by side."""
    values = np.arange(2 * count).astype(kind)[::2]
    outputs = tuple(OutputTensor(name, values, {"node": "edge"}) for name in ("depth", "normals"))
    asked = parse_grpc(grpc_request())
    raw = oip_grpc.encode_response(asked, InferenceResponse("depth", outputs))
    read = message("ModelInferResponse").FromString(raw)
    assert list(read.raw_output_contents) == [values.tobytes()] * 2
    assert [output.name for output in read.outputs] == ["depth", "normals"]
    assert [output.parameters["node"].string_param for output in read.outputs] == ["edge"] * 2


@settings(max_examples=150, deadline=None)
@given(
    head=st.binary(max_size=60) | (json_values | requests).map(lambda it: json.dumps(it).encode()),
    tail=st.binary(max_size=2 * COUNT),
    shift=st.none() | st.integers(-3, 3),
)
def test_no_body_does_worse_than_a_refusal(head: bytes, tail: bytes, shift: int | None) -> None:
    """`shift` is the error of the declared header length; None: no length is declared."""
    length = None if shift is None else len(head) + shift
    check_soundness(lambda: oip.parse_request(head + tail, length, SIZE, LIMITS))


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=120), flips=st.lists(st.tuples(st.integers(0, 99), st.binary())))
def test_no_message_does_worse_than_a_refusal(body: bytes, flips: list[tuple[int, bytes]]) -> None:
    """Damaged copies of a good request; what protobuf itself refuses never reaches the parser."""
    wire = bytearray(grpc_request().SerializeToString())
    for place, patch in flips:
        wire[place % len(wire) : place % len(wire) + len(patch)] = patch
    for candidate in (bytes(wire), body):
        check_soundness(partial(parse_raw_message, candidate))


def check_soundness(parse_it: Callable[[], InferenceRequest]) -> None:
    question, status = None, 0
    try:
        question = parse_it()
    except BadQueryError as refusal:
        status = refusal.status
    if question is None:
        assert 400 <= status < 500
        return
    assert question.images_nhw3.dtype == np.uint8
    assert question.images_nhw3.shape[1:] == (*SIZE, 3)
    assert 1 <= len(question.images_nhw3) <= LIMITS.images
    assert question.timeout_s is None or 0 < question.timeout_s <= 3_600
    reply = InferenceResponse(
        "depth", (OutputTensor("prediction", np.zeros(SIZE, np.float16), {}),)
    )
    body, length = encode(question, reply)
    json.loads(body[:length])
