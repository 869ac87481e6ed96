"""Open Inference Protocol v2: parsing and encoding, by example and by fuzzing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.ingress.oip import encode_answer, parse_request
from serving.node.errors import BadQueryError

SIZE = (2, 3)
COUNT = 2 * 3 * 3


def request(shape=(1, 2, 3, 3), data=None, **more) -> dict:
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(shape)}
    count = int(np.prod(shape))
    tensor["data"] = list(range(count)) if data is None else data
    return {"inputs": [{**tensor, **more}]}


def parse(header: dict, raw: bytes | None = None):
    body = json.dumps(header).encode()
    return parse_request(body + (raw or b""), None if raw is None else len(body), SIZE)


def refused(header: dict, raw: bytes | None = None) -> str:
    with pytest.raises(BadQueryError) as caught:
        parse(header, raw)
    assert 400 <= caught.value.status < 500
    return str(caught.value)


def test_json_and_raw_tensors_are_the_same_image() -> None:
    pixels = bytes(range(COUNT))
    plain = parse(request())
    header = request(parameters={"binary_data_size": COUNT})
    del header["inputs"][0]["data"]
    raw = parse(header, pixels)
    assert plain.images_nhw3.tobytes() == raw.images_nhw3.tobytes() == pixels
    assert plain.images_nhw3.shape == (1, 2, 3, 3)
    assert plain.batched


def test_an_answer_comes_back_in_the_form_that_was_asked_for() -> None:
    prediction = np.arange(6, dtype=np.float16).reshape(SIZE)
    single = parse({**request((2, 3, 3)), "id": "a7"})
    body, header_bytes = encode_answer(single, "depth", [prediction], {"node": "edge-0"})
    answer = json.loads(body)
    assert header_bytes is None
    assert answer["id"] == "a7"
    assert answer["outputs"][0] == {
        "name": "prediction", "datatype": "FP16", "shape": [2, 3],
        "data": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
    }  # fmt: skip

    outputs = [{"name": "prediction", "parameters": {"binary_data": True}}]
    several = parse({**request((2, 2, 3, 3)), "outputs": outputs})
    body, header_bytes = encode_answer(several, "depth", [prediction, prediction], {})
    tensor = json.loads(body[:header_bytes])["outputs"][0]
    assert tensor["shape"] == [2, 2, 3]
    assert tensor["parameters"]["binary_data_size"] == len(body) - header_bytes
    assert body[header_bytes:] == prediction.tobytes() * 2


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
        (request(shape=(1, 2, 3, 3), data=[1, 2]), None, "expected 18 numbers, got 2"),
        (request(data=[256] * 18), None, "whole numbers from 0 to 255"),
        (request(data=["x"] * 18), None, "whole numbers from 0 to 255"),
        (request(data=None, parameters={"binary_data_size": 18}), b"short", "expected 18 raw"),
    ],
)
def test_what_is_wrong_is_said(header, raw, words) -> None:
    assert words in refused(header, raw)


def test_a_header_longer_than_the_body_is_refused() -> None:
    for length in (0, -1, 10_000):
        with pytest.raises(BadQueryError, match="the body has"):
            parse_request(b"{}", length, SIZE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    body=st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {
            "name": st.just("image"), "datatype": st.just("UINT8"),
            "shape": json_values | st.just([2, 3, 3]), "data": json_values,
            "parameters": json_values,
        }
    ).map(lambda tensor: json.dumps({"inputs": [tensor]}).encode()),
    length=st.none() | st.integers(-5, 300),
)  # fmt: skip
def test_no_body_does_worse_than_a_refusal(body, length) -> None:
    try:
        parsed = parse_request(body, length, SIZE)
    except BadQueryError as refusal:
        status = refusal.status
    else:
        status = 400
        assert parsed.images_nhw3.shape[1:] == (*SIZE, 3)
    assert 400 <= status < 500
