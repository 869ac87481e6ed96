"""Bodies of the inference protocol, as JSON and as protobuf: read, or refused with a reason.

An input for JSON is a line with the JSON header's length, or `-` where no raw tensor follows it,
and the body behind that line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

import numpy as np

from fuzz.bend import bend_bytes, bend_data
from fuzz.target import Target, bounded
from serving.errors import BadQueryError
from serving.http.limits import Limits
from serving.ingress.grpc_message import check_fields, parse_message, split_tensors
from serving.ingress.inference_protocol import LONGEST_TIMEOUT_S, InferenceRequest
from serving.ingress.oip_json import parse_request as parse_json
from serving.ingress.oip_protobuf import parse_request as parse_protobuf
from serving.ingress.protobuf_types import message

__all__ = ["OIP_JSON", "OIP_PROTOBUF"]

SIZE, LIMITS = (4, 4), Limits()
MOST_S = 0.03
"""of the event loop; docs/protocol.md promises 5 ms, which a busy machine cannot be held to"""
MEMORY_PER_BYTE, MEMORY_FREE_BYTES = 8, 16 * 2**20
WORDS = (
    b'"data"', b"[[[", b"]]]", b'"shape": [4, 4, 3]', b"null", b"true", b"1e999", b"-1", b"NaN",
    b'"parameters": {"binary_data_size": 48}', b'"\\ud800"', b"{}", b"[],", b"48", b"255", b"256",
)  # fmt: skip
LEAVES: tuple[Any, ...] = (
    None, True, False, 0, -1, 255, 256, 2**63, 2**70, 1.5, 1e300, "", "image", "UINT8", "x" * 300,
    [], {}, [[]], [4, 4, 3], [0] * 48, {"client_id": "me"}, {"timeout": 1e9}, {"timeout": 1e-9},
)  # fmt: skip
_Request = message("ModelInferRequest")


def _leaf(rng: Random) -> Any:
    return rng.choice(LEAVES)


def make_json(rng: Random, corpus: Sequence[bytes]) -> bytes:
    first, _, body = rng.choice(corpus).partition(b"\n")
    if rng.random() < 0.5:
        size = len(body) if first == b"-" else int(first)
        with suppress(ValueError, RecursionError):
            header = json.dumps(bend_data(rng, json.loads(body[:size]), _leaf)).encode()
            body = header + body[size:]
            first = first if first == b"-" else b"%d" % len(header)
    else:
        body = bend_bytes(rng, body, WORDS, corpus)
    if rng.random() < 0.1:
        first = rng.choice((b"-", b"0", b"1", b"%d" % len(body), b"99999999"))
    return first + b"\n" + body


def check_json(data: bytes) -> None:
    first, _, body = data.partition(b"\n")
    header_bytes = int(first) if first.isdigit() and len(first) < 12 else None
    with suppress(BadQueryError):
        request = bounded(
            lambda: parse_json(body, header_bytes, SIZE, LIMITS),
            most_s=MOST_S,
            most_bytes=MEMORY_PER_BYTE * len(body) + MEMORY_FREE_BYTES,
        )
        _check_request(request)


def make_protobuf(rng: Random, corpus: Sequence[bytes]) -> bytes:
    return bend_bytes(
        rng, rng.choice(corpus), (b"image", b"UINT8", b"\x0a\x00", b"\x3a\x30"), corpus
    )


def check_protobuf(data: bytes) -> None:
    def read() -> InferenceRequest:
        check_fields(data, LIMITS.json_bytes)
        rest, tensors = split_tensors(data)
        return parse_protobuf(parse_message(rest, _Request), tensors, SIZE, LIMITS)

    with suppress(BadQueryError):
        request = bounded(
            read, most_s=MOST_S, most_bytes=MEMORY_PER_BYTE * len(data) + MEMORY_FREE_BYTES
        )
        _check_request(request)


def _check_request(request: InferenceRequest) -> None:
    """What the node relies on."""
    images = request.images_nhw3
    assert images.dtype == np.uint8
    assert images.shape == (len(images), *SIZE, 3)
    assert 1 <= len(images) <= LIMITS.images
    assert request.timeout_s is None or 0 < request.timeout_s <= LONGEST_TIMEOUT_S
    assert len(request.caller) <= 128
    texts = (request.request_id, request.caller, *request.outputs)
    assert all(isinstance(text, str) for text in texts)
    for text in texts:
        text.encode()  # it goes back in the answer, or into statistics


OIP_JSON = Target("oip_json", make_json, check_json)
OIP_PROTOBUF = Target("oip_protobuf", make_protobuf, check_protobuf)
