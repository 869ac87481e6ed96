"""What a caller's bytes may cost: 8 times their number and 16 MiB, and 5 ms of the event loop.

Each body goes to the real door in a process of its own, over HTTP or gRPC: once while that keeps no
freed memory, for the body's memory, and up to five times while it does, as a node does. The loop's
lateness is taken beyond what the same door shows without the body, as the median of the five: it is
kept as soon as three keep it. The costliest bodies of each kind are tried in the fast suite, all of
them by `make test-slow`.
"""

from __future__ import annotations

import io
import json
import statistics
from collections.abc import Iterable, Iterator

import grpc
import httpx
import numpy as np
import pytest
from _pytest.mark.structures import ParameterSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from serving.http.limits import Limits
from serving.ingress.protobuf_types import SERVICE, message
from support.metered_door import SIZE, MeteredDoor

pytestmark = pytest.mark.measures_process

MEMORY_PER_BYTE, MEMORY_FREE_BYTES = 8, 16 * 2**20
LATE_S = 0.005
TRIES = 5
COUNT = SIZE * SIZE * 3
JSON, PNG, JPEG = "application/json", "image/png", "image/jpeg"
RAW = "application/octet-stream"
GRPC = "gRPC"
REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT: 400, grpc.StatusCode.RESOURCE_EXHAUSTED: 413}


@pytest.fixture(scope="module")
def door() -> Iterator[MeteredDoor]:
    with MeteredDoor() as door:
        for body, kind in ((tensor("[" + ",".join(["7"] * COUNT) + "]"), JSON), picture_body()):
            for _ in range(5):  # what is made once is no body's cost
                assert send(door, body, kind) == 200
        yield door


def send(door: MeteredDoor, body: bytes, kind: str) -> int:
    if kind == GRPC:
        return send_message(door, body)
    path = f"{door.url}/v2/models/depth/infer"
    headers = {"content-type": kind}
    if kind == RAW:
        headers["inference-header-content-length"] = str(body.index(b"}]}") + 3)
    return httpx.post(path, content=body, headers=headers, timeout=60).status_code


def send_message(door: MeteredDoor, body: bytes) -> int:
    with grpc.insecure_channel(f"127.0.0.1:{door.grpc}") as channel:
        try:
            channel.unary_unary(f"/{SERVICE}/ModelInfer")(body, timeout=60)
        except grpc.RpcError as error:
            return REFUSALS.get(error.code(), 500)
    return 200


def message_of(images: int, raw_bytes: int | None = None, name: str = "depth") -> bytes:
    """A gRPC request of that many images, and as many raw bytes."""
    request = message("ModelInferRequest")(model_name=name)
    request.inputs.add(name="image", datatype="UINT8", shape=(images, SIZE, SIZE, 3))
    request.raw_input_contents.append(bytes(raw_bytes or images * SIZE * SIZE * 3))
    return bytes(request.SerializeToString())


def tensor(data: str, **more: str) -> bytes:
    others = "".join(f', "{name}": {value}' for name, value in more.items())
    return (
        '{"inputs": [{"name": "image", "datatype": "UINT8", '
        f'"shape": [{SIZE}, {SIZE}, 3], "data": {data}}}]{others}}}'
    ).encode()


def picture_body(**options: object) -> tuple[bytes, str]:
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    return encoded(Image.fromarray(noise), "PNG"), PNG


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def empty_scan(width: int, height: int, scans: int = 1) -> bytes:
    """A progressive JPEG of some hundred bytes whose pixels are never said."""
    whole = encoded(Image.new("L", (8, 8)), "JPEG", progressive=True)
    start = whole.index(b"\xff\xc2")
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    sized = whole[: start + 5] + size + whole[start + 9 :]
    scan = sized.index(b"\xff\xda")
    return sized[:-2] + sized[scan:-2] * (scans - 1) + sized[-2:]


def raw_tensor(images: int) -> bytes:
    """Raw pictures whose answers are to come as JSON numbers."""
    raw = np.random.default_rng(3).integers(0, 256, (images, SIZE, SIZE, 3), np.uint8).tobytes()
    head = (
        f'{{"inputs": [{{"name": "image", "datatype": "UINT8", "shape": [{images}, {SIZE}, {SIZE}, '
        f'3], "parameters": {{"binary_data_size": {len(raw)}}}}}]}}'
    )
    return head.encode() + raw


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


SIDEWAYS = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
"""EXIF data: a quarter turn"""


def photograph(kind: str, mode: str = "RGB", **options: object) -> bytes:
    """A large picture with something in it."""
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).resize((1_800, 1_350))
    grain = rng.integers(0, 12, (1_350, 1_800, 1), np.uint8)
    image = Image.fromarray(np.asarray(coarse) // 2 + grain).convert(mode)
    return encoded(image, kind, **options)


def texts() -> PngInfo:
    info = PngInfo()
    info.add_text("a", "b")
    return info


CORPUS: dict[str, tuple[bytes, str]] = {
    "a long text among numbers": (
        tensor(json.dumps(["A" * 10_000, *[""] * 8_000])), JSON),
    "texts, as many as numbers": (tensor(json.dumps(["ab"] * COUNT)), JSON),
    "a long text among as many texts as numbers": (
        tensor(json.dumps(["A" * 100_000, *["" ] * (COUNT - 1)])), JSON),
    "deep lists for an id": (tensor("[]", id=nested(1_020)), JSON),
    "deep lists for a client": (
        tensor("[]", parameters=f'{{"client_id": {nested(1_000)}}}'), JSON),
    "deep lists for numbers": (tensor(nested(1_000)), JSON),
    "empty lists": (tensor("[" + ",".join(["[]"] * 160_000) + "]"), JSON),
    "objects": (tensor("[" + ",".join(['{"a":1}'] * 60_000) + "]"), JSON),
    "as much JSON as may be": (
        tensor("[" + ",".join(["1"] * (Limits().json_bytes // 2 - 200)) + "]"), JSON),
    "more JSON than may be": (tensor("[" + ",".join(["1"] * 1_000_000) + "]"), JSON),
    "outputs without end": (tensor("[]", outputs=json.dumps([{"name": "x"}] * 20_000)), JSON),
    "a progressive JPEG without pixels": (empty_scan(2_900, 2_890), JPEG),
    "a smaller one with many scans": (empty_scan(1_000, 1_000, 400), JPEG),
    "a blank picture of many megapixels": (
        encoded(Image.new("L", (2_800, 2_900)), "PNG"), PNG),
    "a column of pixels": (encoded(Image.new("RGB", (1, 131_072)), "PNG"), PNG),
    "a row of pixels": (encoded(Image.new("1", (3_000_000, 1)), "PNG"), PNG),
    "as many blank pixels as pass": (encoded(Image.new("RGB", (1_700, 1_700)), "PNG"), PNG),
    "transparent ones": (encoded(Image.new("RGBA", (1_000, 1_000)), "PNG"), PNG),
    "a photograph": (photograph("JPEG", quality=90), JPEG),
    "a progressive photograph": (photograph("JPEG", quality=90, progressive=True), JPEG),
    "a photograph as PNG": (photograph("PNG", compress_level=1), PNG),
    "as many pictures as may be, answered in JSON": (raw_tensor(Limits().images), RAW),
    "as much raw as may be": (raw_tensor(Limits().images) + bytes(6 * 2**20), RAW),
    "as much JSON as a body may have": (b"{" + b" " * (Limits().body_bytes - 1), JSON),
    "a large picture with a text": (photograph("PNG", compress_level=0, pnginfo=texts()), PNG),
    "a message of as many pictures as may be": (message_of(Limits().images), GRPC),
    "a message of more bytes than pictures": (
        message_of(1, Limits().longest_message_bytes((SIZE, SIZE)) - 1_000), GRPC),
    "a message that is too long": (message_of(1, 7 * 2**20), GRPC),
    "a message of no inputs, many times": (b"\x2a\x00" * 800_000, GRPC),
    "no picture": (b"\xff\xd8\xff" + bytes(2**20), JPEG),
}  # fmt: skip


def check(door: MeteredDoor, body: bytes, kind: str) -> None:
    door.reset(cold=True)
    ask(door, body, kind)
    peak_bytes = door.cost().peak_bytes
    most_bytes = MEMORY_PER_BYTE * len(body) + MEMORY_FREE_BYTES
    assert peak_bytes <= most_bytes, f"{peak_bytes / 2**20:.1f} MiB"
    late_s = []
    for _ in range(TRIES):
        door.reset()
        httpx.get(f"{door.url}/v2/health/live")
        without = door.cost()
        door.reset()
        ask(door, body, kind)
        late_s.append(door.cost().late_s - without.late_s)
        if 2 * sum(late <= LATE_S for late in late_s) > TRIES:
            break
    assert statistics.median(late_s) <= LATE_S, [f"{1e3 * late:.1f} ms" for late in late_s]


def ask(door: MeteredDoor, body: bytes, kind: str) -> None:
    status = send(door, body, kind)
    assert status == 200 or 400 <= status < 500, status


COSTLIEST = {
    "a long text among as many texts as numbers", "deep lists for an id", "empty lists", "objects",
    "as much JSON as may be", "outputs without end", "a progressive JPEG without pixels",
    "a column of pixels", "as many blank pixels as pass", "a photograph as PNG",
    "as many pictures as may be, answered in JSON", "a message of no inputs, many times",
    "a photograph with alpha",
}  # fmt: skip


def fast_if_costly(names: Iterable[str]) -> list[ParameterSet]:
    slow = pytest.mark.slow
    return [pytest.param(name, marks=() if name in COSTLIEST else slow) for name in names]


@pytest.mark.parametrize("name", fast_if_costly(CORPUS))
def test_no_body_costs_more_than_it_may(door: MeteredDoor, name: str) -> None:
    check(door, *CORPUS[name])


LARGE_PICTURES: dict[str, tuple[bytes, str]] = {
    **{name: CORPUS[name] for name in CORPUS if CORPUS[name][1] in (PNG, JPEG)},
    "a small file of a large photograph": (photograph("JPEG", quality=40), JPEG),
    "a photograph with alpha": (photograph("PNG", "RGBA", compress_level=1), PNG),
    "a turned photograph": (photograph("PNG", compress_level=1, exif=SIDEWAYS), PNG),
}  # fmt: skip


@pytest.fixture(scope="module", params=["bicubic", pytest.param("nearest", marks=pytest.mark.slow)])
def other_door(request: pytest.FixtureRequest) -> Iterator[MeteredDoor]:
    """As `door`, of models whose card resizes otherwise."""
    with MeteredDoor(interpolation=request.param) as door:
        for _ in range(5):
            assert send(door, *picture_body()) == 200
        yield door


@pytest.mark.parametrize("name", fast_if_costly(LARGE_PICTURES))
def test_no_picture_costs_more_however_a_card_resizes_it(
    other_door: MeteredDoor, name: str
) -> None:
    check(other_door, *LARGE_PICTURES[name])


values = st.recursive(
    st.integers(-1, 300) | st.booleans() | st.text(max_size=3) | st.none(),
    lambda inside: st.lists(inside, max_size=5) | st.dictionaries(st.text(max_size=3), inside),
    max_leaves=8,
)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(one=values, times=st.integers(1, 120_000), field=st.sampled_from(["data", "id", "outputs"]))
def test_no_repeated_value_costs_more_than_it_may(
    door: MeteredDoor, one: object, times: int, field: str
) -> None:
    written = json.dumps(one)
    times = max(1, min(times, 600_000 // (len(written) + 1)))
    many = "[" + ",".join([written] * times) + "]"
    body = tensor(many) if field == "data" else tensor("[]", **{field: many})
    check(door, body, JSON)
