"""What the Python client says and understands: its types, its errors, and their bytes, no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.errors import RefusalReason
from serving.ingress.oip_names import ALL, DATATYPES, INPUT
from serving.system import Timing

__all__ = [
    "BadRequestError",
    "Call",
    "ClientError",
    "DeadlineError",
    "ModelInfo",
    "NotServedHereError",
    "Prediction",
    "RefusedHereError",
    "ServerInfo",
    "Statistics",
    "TensorInfo",
    "UnauthorisedError",
    "UnreachableError",
    "infer_call",
    "read_error",
    "read_model",
    "read_predictions",
    "read_server",
    "read_statistics",
]

MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}
DTYPES = {oip: np.dtype(name) for name, oip in DATATYPES.items()}


class ClientError(Exception):
    """Something other than an answer; `reason` is the door's short word for it."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class UnreachableError(ClientError):
    """The door could not be reached, or the connection broke."""


class BadRequestError(ClientError):
    """The door did not understand or take the request; repeating it is of no use."""


class UnauthorisedError(ClientError):
    """The door asks for a token, or for another one."""


class NotServedHereError(ClientError):
    """There is no such task, or the plan in force does not serve it."""


class RefusedHereError(ClientError):
    """The node refused for now; it expects room after `retry_after_s`."""

    def __init__(self, message: str, reason: str, retry_after_s: float) -> None:
        super().__init__(message, reason)
        self.retry_after_s = retry_after_s


class DeadlineError(RefusedHereError):
    """No answer could come, or came, before the deadline."""


@dataclass(frozen=True)
class Prediction:
    """The answer to one task: values (h, w), (h, w, c), or with a leading axis of images, and the
    way they took (of the first image)."""

    task: str
    values: NDArray[Any]
    tier: str
    node: str
    model: str
    plan_version: int
    batch_size: int
    bound_s: float
    """the promised latency of this way"""
    timing: Timing
    spilled: str = ""
    """why it did not take the way that the plan gave it, where that was full"""
    trace_id: str = ""
    """of its spans, where the query was traced"""


@dataclass(frozen=True)
class ServerInfo:
    """A client node."""

    name: str
    plan_version: int
    """0 while none is in force"""
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class TensorInfo:
    """A tensor; -1 in its shape stands for the number of images."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelInfo:
    """What a model takes and gives."""

    name: str
    image: TensorInfo
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True)
class Statistics:
    """What became of the requests to a model since the node started; means in seconds."""

    model: str
    answered: int
    failed: int
    images: int
    mean_s: float
    mean_queue_s: float
    mean_compute_s: float


@dataclass(frozen=True)
class Call:
    """A POST that asks for predictions."""

    path: str
    body: bytes
    headers: dict[str, str]
    tasks: tuple[str, ...]


def infer_call(
    tasks: str | Sequence[str],
    image: bytes | str | Path | NDArray[np.uint8],
    deadline_s: float | None,
    request_id: str,
) -> Call:
    """The request for `tasks` of `image`: a PNG or JPEG, its path, or uint8 (h, w, 3) or
    (n, h, w, 3).

    Raises `ValueError` for an image of none of these kinds, a file that cannot be read, or no task.
    """
    if isinstance(image, str | Path):
        image = _read(Path(image))
    names = (tasks,) if isinstance(tasks, str) else tuple(dict.fromkeys(tasks))
    if not names or ALL in names:
        raise ValueError(f"expected a task, or a list of tasks by name, got {tasks!r}")
    model = tasks if isinstance(tasks, str) else ALL
    path = f"/v2/models/{model}/infer"
    headers = {}
    if request_id:
        headers["x-request-id"] = request_id
    if deadline_s is not None:
        headers["x-deadline-ms"] = f"{1e3 * deadline_s:.6g}"
    if isinstance(image, bytes):
        kind = next((kind for magic, kind in MAGIC.items() if image.startswith(magic)), None)
        if kind is None:
            raise ValueError("image: expected the bytes of a PNG or a JPEG")
        headers["content-type"] = kind
        if model == ALL:
            path += f"?outputs={','.join(names)}"
        return Call(path, image, headers, names)
    body, header_bytes = _tensor_body(image, names if model == ALL else ())
    headers["content-type"] = "application/octet-stream"
    headers["inference-header-content-length"] = str(header_bytes)
    return Call(path, body, headers, names)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"image: {path}: {error.strerror or error}") from None


def _tensor_body(image: NDArray[np.uint8], outputs: tuple[str, ...]) -> tuple[bytes, int]:
    if image.dtype != np.uint8:
        raise ValueError(f"image: expected an array of uint8, got {image.dtype}")
    raw = np.ascontiguousarray(image).tobytes()
    asked: dict[str, Any] = {
        "inputs": [
            {
                "name": INPUT, "datatype": "UINT8", "shape": image.shape,
                "parameters": {"binary_data_size": len(raw)},
            }
        ],
        "parameters": {"binary_data_output": True},
    }  # fmt: skip
    if outputs:
        asked["outputs"] = [{"name": name} for name in outputs]
    header = json.dumps(asked).encode()
    return header + raw, len(header)


def read_predictions(
    call: Call, status: int, headers: Mapping[str, str], body: bytes
) -> dict[str, Prediction]:
    """task -> prediction. Raises the `ClientError` that the door's answer stands for."""
    if status != 200:
        raise read_error(status, body)
    if "x-testbed-tensor" in headers:
        dtype, _, extents = headers["x-testbed-tensor"].partition(";")
        shape = tuple(int(extent) for extent in extents.split(",") if extent)
        values = np.frombuffer(body, dtype=np.dtype(dtype)).reshape(shape)
        (task,) = call.tasks
        return {task: _prediction(task, values, json.loads(headers["x-testbed-answer"]))}
    length = int(headers["inference-header-content-length"])
    start, found = length, {}
    for task, output in zip(call.tasks, json.loads(body[:length])["outputs"], strict=True):
        size = output["parameters"]["binary_data_size"]
        raw = np.frombuffer(body[start : start + size], dtype=DTYPES[output["datatype"]])
        found[task] = _prediction(task, raw.reshape(output["shape"]), output["parameters"])
        start += size
    return found


def _prediction(task: str, values: NDArray[Any], way: Mapping[str, Any]) -> Prediction:
    return Prediction(
        task=task,
        values=values,
        tier=way["tier"],
        node=way["node"],
        model=way["model"],
        plan_version=way["plan_version"],
        batch_size=way["batch_size"],
        bound_s=way["bound_s"],
        timing=Timing(way["queue_s"], way["batch_wait_s"], way["compute_s"], way["link_s"]),
        spilled=way.get("spilled", ""),
        trace_id=way.get("trace_id", ""),
    )


def read_error(status: int, body: bytes) -> ClientError:
    """The error that an answer other than 200 stands for."""
    try:
        fault = json.loads(body)
        message, reason = str(fault["error"]), str(fault["reason"])
        retry_after_s = float(fault.get("retry_after_s", 1))
    except (ValueError, KeyError, TypeError):
        message, reason, retry_after_s = f"HTTP {status}", "", 1.0
    if status == 503:
        kind = DeadlineError if reason == RefusalReason.DEADLINE else RefusedHereError
        return kind(message, reason, retry_after_s)
    if status == 401:
        return UnauthorisedError(message, reason)
    if status == 404:
        return NotServedHereError(message, reason)
    return BadRequestError(message, reason)


def read_server(found: Mapping[str, Any]) -> ServerInfo:
    """The body of GET /v2."""
    return ServerInfo(found["name"], found["plan_version"], tuple(found["tasks"]))


def read_model(found: Mapping[str, Any]) -> ModelInfo:
    """The body of GET /v2/models/MODEL."""
    (image,) = (_tensor(entry) for entry in found["inputs"])
    return ModelInfo(found["name"], image, tuple(_tensor(entry) for entry in found["outputs"]))


def _tensor(found: Mapping[str, Any]) -> TensorInfo:
    return TensorInfo(found["name"], DTYPES[found["datatype"]], tuple(found["shape"]))


def read_statistics(found: Mapping[str, Any]) -> dict[str, Statistics]:
    """The body of GET /v2/models/stats, by model."""
    return {
        entry["name"]: Statistics(
            model=entry["name"],
            answered=entry["inference_stats"]["success"]["count"],
            failed=entry["inference_stats"]["fail"]["count"],
            images=entry["inference_count"],
            mean_s=_mean_s(entry["inference_stats"]["success"]),
            mean_queue_s=_mean_s(entry["inference_stats"]["queue"]),
            mean_compute_s=_mean_s(entry["inference_stats"]["compute_infer"]),
        )
        for entry in found["model_stats"]
    }


def _mean_s(duration: Mapping[str, int]) -> float:
    return 1e-9 * duration["ns"] / duration["count"] if duration["count"] else 0.0
