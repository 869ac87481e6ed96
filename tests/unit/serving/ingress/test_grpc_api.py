"""The gRPC door, asked by Triton's unmodified client in the same process, and by plain stubs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from serving.http.limits import Limits
from serving.ingress.access import DoorConfig
from serving.ingress.protobuf_types import METHODS, SERVICE, message
from support.open_door import SIZE, TASKS, Served, serve_node
from support.paths import ROOT

pytestmark = pytest.mark.real_time

PIXELS = np.arange(SIZE * SIZE * 3, dtype=np.uint8).reshape(1, SIZE, SIZE, 3)
TOKEN = "a token of 16 signs or more"
PROTO = ROOT / "serving" / "ingress" / "inference.proto"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve_node() as door:
        yield door


@pytest.fixture
def client(served: Served) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{served.grpc}") as client:
        yield client


def tensor(image: np.ndarray = PIXELS) -> triton.InferInput:
    tensor = triton.InferInput("image", list(image.shape), "UINT8")
    tensor.set_data_from_numpy(image)
    return tensor


def call(
    served: Served,
    method: str,
    request: Message,
    timeout: float = 5.0,
    metadata: tuple[tuple[str, str], ...] = (),
    compression: grpc.Compression | None = None,
) -> Any:
    """One call without Triton's client."""
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc}") as channel:
        ask = channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=METHODS[method][0].SerializeToString,
            response_deserializer=METHODS[method][1].FromString,
        )
        return ask(request, timeout=timeout, metadata=metadata, compression=compression)


def infer_request(image: np.ndarray = PIXELS, model: str = "depth") -> Any:
    request = message("ModelInferRequest")(model_name=model, id="q")
    request.inputs.add(name="image", datatype="UINT8", shape=image.shape)
    request.raw_input_contents.append(image.tobytes())
    return request


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("depth")
    assert client.is_model_ready("all", "1")
    assert not client.is_model_ready("normals")
    about = client.get_server_metadata(as_json=True)
    assert (about["name"], about["version"]) == ("client", "3")
    described = client.get_model_metadata("all", as_json=True)
    assert [output["name"] for output in described["outputs"]] == list(TASKS)
    assert described["inputs"][0]["shape"] == ["-1", "4", "4", "3"]


def test_predictions_of_one_task_and_of_several(client: triton.InferenceServerClient) -> None:
    result = client.infer("depth", [tensor()], request_id="q-7")
    assert result.as_numpy("prediction").dtype == np.float16
    assert result.as_numpy("prediction").tolist() == PIXELS[..., 0].tolist()
    assert result.get_response().id == "q-7"
    way = result.get_response().outputs[0].parameters
    assert way["node"].string_param == "client"
    assert way["plan_version"].int64_param == 3
    assert way["compute_s"].double_param > 0

    stack = np.concatenate([PIXELS, PIXELS + 1])
    wanted = [triton.InferRequestedOutput(task) for task in ("segmentation", "depth")]
    result = client.infer("all", [tensor(stack)], outputs=wanted)
    assert [output.name for output in result.get_response().outputs] == ["segmentation", "depth"]
    assert result.as_numpy("segmentation").tolist() == stack[..., 1].tolist()
    assert result.as_numpy("depth").tolist() == stack[..., 0].tolist()


@pytest.mark.parametrize(
    ("model", "image", "code", "words"),
    [
        ("dpeth", PIXELS, "NOT_FOUND", "there is no task 'dpeth'"),
        ("normals", PIXELS, "NOT_FOUND", "no onloaded model"),
        ("edges", PIXELS, "UNAVAILABLE", "no link to edge"),
        ("depth", PIXELS[:, :2], "INVALID_ARGUMENT", "inputs.0.shape"),
    ],
)
def test_errors_are_statuses(
    client: triton.InferenceServerClient, model: str, image: np.ndarray, code: str, words: str
) -> None:
    with pytest.raises(InferenceServerException, match=words) as got:
        client.infer(model, [tensor(image)])
    assert got.value.status() == f"StatusCode.{code}"


def test_a_refusal_names_its_reason_in_the_trailing_metadata(served: Served) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        call(served, "ModelInfer", infer_request(model="edges"))
    assert dict(refused.value.trailing_metadata())["reason"] == "no_way"


def test_both_doors_count_together() -> None:
    with serve_node() as served:
        call(served, "ModelInfer", infer_request())
        httpx.post(
            f"{served.url}/v2/models/depth/infer",
            json={
                "inputs": [
                    {"name": "image", "datatype": "UINT8", "shape": list(PIXELS.shape),
                     "data": PIXELS.ravel().tolist()}
                ]
            },
        )  # fmt: skip
        with triton.InferenceServerClient(f"127.0.0.1:{served.grpc}") as client:
            (depth,) = client.get_inference_statistics("depth").model_stats
            assert (depth.inference_count, depth.inference_stats.success.count) == (2, 2)
            assert depth.inference_stats.compute_infer.ns > 0
            assert depth.batch_stats[0].batch_size == 1
            assert len(client.get_inference_statistics().model_stats) == len(TASKS) + 1


def test_a_deadline_of_the_call_or_of_the_request_holds() -> None:
    with serve_node(pass_s=0.4) as served:
        with pytest.raises(grpc.RpcError) as late:
            call(served, "ModelInfer", infer_request(), timeout=0.1)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        hurried = infer_request()
        hurried.parameters["timeout"].int64_param = 50_000
        with pytest.raises(grpc.RpcError) as late:
            call(served, "ModelInfer", hurried)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert dict(late.value.trailing_metadata())["reason"] == "deadline"
        assert call(served, "ModelInfer", infer_request()).id == "q"


def test_who_cancels_takes_its_query_along_and_harms_no_other() -> None:
    with serve_node(pass_s=0.4) as served, grpc.insecure_channel(f"127.0.0.1:{served.grpc}") as way:
        ask = way.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=METHODS["ModelInfer"][0].SerializeToString,
            response_deserializer=METHODS["ModelInfer"][1].FromString,
        )
        calls = [ask.future(infer_request(), timeout=10) for _ in range(6)]
        ends_s = time.monotonic() + 5
        while served.call(lambda: served.node.snapshot().arrived).get("depth", 0) < 6:
            assert time.monotonic() < ends_s
            time.sleep(0.01)
        for asked in calls[1::2]:
            asked.cancel()
        assert [asked.result().id for asked in calls[::2]] == ["q"] * 3
        while (stats := stats_of(served))["fail"]["count"] < 3:
            assert time.monotonic() < ends_s
            time.sleep(0.01)
        assert (stats["success"]["count"], stats["fail"]["count"]) == (3, 3)


def stats_of(served: Served) -> dict[str, Any]:
    (entry,) = httpx.get(f"{served.url}/v2/models/depth/stats").json()["model_stats"]
    stats: dict[str, Any] = entry["inference_stats"]
    return stats


def test_a_token_is_asked_of_every_method() -> None:
    bearer = (("authorization", f"Bearer {TOKEN}"),)
    with serve_node(DoorConfig(token=TOKEN)) as served:
        for method, (request, _) in METHODS.items():
            for metadata in ((), (("authorization", f"Bearer {TOKEN[:-1]}"),)):
                with pytest.raises(grpc.RpcError) as refused:
                    call(served, method, request(), metadata=metadata)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, method
        assert call(served, "ModelInfer", infer_request(), metadata=bearer).id == "q"
        assert call(served, "ServerLive", METHODS["ServerLive"][0](), metadata=bearer).live


def test_what_is_too_large_or_packed_never_reaches_the_parser() -> None:
    with serve_node(DoorConfig(limits=Limits(body_bytes=100_000))) as served:
        large = infer_request()
        large.raw_input_contents.append(b"\0" * 200_000)
        with pytest.raises(grpc.RpcError) as refused:
            call(served, "ModelInfer", large)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError) as refused:
            call(served, "ModelInfer", large, compression=grpc.Compression.Gzip)
        assert refused.value.code() in (
            grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED,
        )  # fmt: skip
        small = infer_request()
        small.raw_input_contents.append(b"\0" * 50_000)
        with pytest.raises(grpc.RpcError) as refused:
            call(served, "ModelInfer", small, compression=grpc.Compression.Gzip)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert call(served, "ModelInfer", infer_request()).id == "q"


def test_many_calls_at_once_are_answered_or_refused() -> None:
    """More calls than the door takes; each ends, and the counts add up."""
    outcomes: list[str] = []

    def crowd(served: Served) -> None:
        for _ in range(10):
            try:
                outcomes.append(call(served, "ModelInfer", infer_request(), timeout=20).id)
            except grpc.RpcError as error:
                outcomes.append(error.code().name)

    with serve_node(DoorConfig(limits=Limits(streams=4)), pass_s=0.005) as served:
        threads = [threading.Thread(target=crowd, args=(served,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert len(outcomes) == 120
        assert set(outcomes) <= {"q", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
        assert outcomes.count("q") > 0
        assert stats_of(served)["success"]["count"] == outcomes.count("q")


def test_idle_and_silent_connections_leave_room_and_are_closed() -> None:
    limits = Limits(head_s=1.0)
    with serve_node(DoorConfig(limits=limits)) as served, ExitStack() as stack:
        silent = [
            stack.enter_context(closing(socket.create_connection(("127.0.0.1", served.grpc), 10)))
            for _ in range(200)
        ]
        for number, caller in enumerate(silent):
            if number % 2:
                caller.sendall(b"PRI * HTTP/2.0\r\n")  # half of what a connection begins with
        assert call(served, "ModelInfer", infer_request()).id == "q"
        for caller in silent[:4]:
            while caller.recv(4_096):  # the door's own settings come first
                pass


def test_the_compiled_protocol_is_that_of_the_file(tmp_path: Path) -> None:
    from grpc_tools import protoc

    compiled = tmp_path / "inference.binpb"
    code = protoc.main(
        ["protoc", f"-I{PROTO.parent}", "--include_imports", f"--descriptor_set_out={compiled}",
         PROTO.name]
    )  # fmt: skip
    assert code == 0
    assert compiled.read_bytes() == PROTO.with_suffix(".binpb").read_bytes()


def test_every_field_has_the_number_and_type_of_tritons_definition() -> None:
    from tritonclient.grpc import service_pb2

    theirs = service_pb2.DESCRIPTOR.message_types_by_name

    def compare(ours: Descriptor, other: Descriptor) -> None:
        for field in ours.fields:
            same = other.fields_by_name[field.name]
            assert (field.number, field.type) == (same.number, same.type), field.full_name
        for nested in ours.nested_types:
            compare(nested, other.nested_types_by_name[nested.name])

    for method, (request, response) in METHODS.items():
        assert (
            method
            in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
        )
        for kind in (request, response):
            compare(kind.DESCRIPTOR, theirs[kind.DESCRIPTOR.name])
