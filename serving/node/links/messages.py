"""What nodes say to each other, as msgpack arrays; first field the kind. Nothing here does I/O.

  HELLO   [0, token]                                        first frame up
  WELCOME [1]                                               first frame down: the token was right
  QUERY   [2, id, asks, remaining_s or nil, [h, w, 3], image bytes]
            ask: [tier, node, model, [task, ...]]
            and a seventh field where the query is traced: its traceparent
  ANSWER  [3, id, outcomes]                                 one for each ask, in order:
            answered [tier, node, model, batch_size, queue_s, batch_wait_s, compute_s, link_s,
                      [[task, dtype, shape, bytes], ...]]
            refused  [reason, message, retry_after_s]
  CANCEL  [4, id]                                           its caller has gone
  PROBE   [7, id, bytes]                                    to measure the link with
  ECHO    [8, id, arrived_s]                                when it came, on the far side's clock
  PING    [5], PONG [6]                                     whether the far side's loop still turns

A deadline travels as the seconds that remain when the far side reads it, so clocks need not agree.
Whatever arrives is checked field by field: `FrameError` says what was wrong with it. Errors are
logged, so they repeat numbers that a peer sent, but neither its strings nor its bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from serving.errors import FrameError, RefusalReason, RefusedError
from serving.node.device.served import Image, Served
from serving.routing.routes import Ask, Target

__all__ = [
    "ANSWER",
    "CANCEL",
    "ECHO",
    "HELLO",
    "PING",
    "PONG",
    "PROBE",
    "QUERY",
    "WELCOME",
    "AskOutcome",
    "AskReply",
    "QueryFrame",
    "encode_answer",
    "encode_query",
    "parse_answer",
    "parse_echo",
    "parse_number",
    "parse_probe",
    "parse_query",
    "unexpected_kind",
]  # fmt: skip

HELLO, WELCOME, QUERY, ANSWER, CANCEL, PING, PONG, PROBE, ECHO = range(9)
MAX_ASKS = 64
PREDICTED = re.compile(r"[<>|=][biuf]\d{1,2}")
"""numpy's words for the types that predictions have: `<f2`, `|u1`"""


class AskReply(NamedTuple):
    """The answers to one ask: by task, and the time the image and they spent on links."""

    target: Target
    served: dict[str, Served]
    link_s: float
    spilled: RefusalReason | None = None
    """why they are not from the way that the plan gave them, where that was full"""
    detoured: RefusalReason | None = None
    """why they are not from there, where it failed"""


AskOutcome = AskReply | RefusedError


@dataclass(frozen=True, slots=True)
class QueryFrame:
    """A parsed QUERY."""

    number: int
    asks: tuple[Ask, ...]
    remaining_s: float | None
    image: Image
    traceparent: str = ""


def encode_query(
    number: int,
    asks: tuple[Ask, ...],
    remaining_s: float | None,
    image: Image,
    traceparent: str = "",
) -> list[Any]:
    """The fields of a QUERY."""
    wanted = [(a.target.tier, a.target.node, a.target.model, a.tasks) for a in asks]
    fields = [QUERY, number, wanted, remaining_s, image.shape, image.tobytes()]
    return [*fields, traceparent] if traceparent else fields


def parse_query(fields: list[Any]) -> QueryFrame:
    """The query in a frame's fields. Raises `FrameError`."""
    if len(fields) not in (6, 7):
        raise FrameError(f"expected a query of 6 or 7 fields, got {len(fields)}")
    _, number, wanted, remaining_s, shape, body, *traced = fields
    traceparent = traced[0] if traced else ""
    if type(traceparent) is not str:
        raise FrameError("expected a query's traceparent as text")
    if type(number) is not int:
        raise FrameError("expected a query's number")
    if remaining_s is not None and not isinstance(remaining_s, int | float):
        raise FrameError("expected a query's remaining time in seconds or nothing")
    if type(wanted) is not list or not 0 < len(wanted) <= MAX_ASKS:
        raise FrameError(f"expected 1 to {MAX_ASKS} asks in a query")
    asks = tuple(_parse_ask(entry) for entry in wanted)
    return QueryFrame(number, asks, remaining_s, _parse_image(shape, body), traceparent)


def _parse_ask(entry: Any) -> Ask:
    if type(entry) is not list or len(entry) != 4:
        raise FrameError("expected an ask of 4 fields")
    *way, tasks = entry
    if type(tasks) is not list or not 0 < len(tasks) <= MAX_ASKS:
        raise FrameError(f"expected 1 to {MAX_ASKS} tasks in an ask")
    if not all(type(name) is str for name in (*way, *tasks)):
        raise FrameError("expected names in an ask")
    return Ask(Target(*way), tuple(tasks))


def _parse_image(shape: Any, body: Any) -> Image:
    if type(shape) is not list or len(shape) != 3 or type(body) is not bytes:
        raise FrameError("expected an image's height, width and channels, and its bytes")
    if not all(type(extent) is int for extent in shape):
        raise FrameError("expected whole numbers as an image's shape")
    if not all(0 < extent <= len(body) for extent in shape):
        raise FrameError(f"no image of {len(body)} bytes has the shape {shape}")
    if shape[0] * shape[1] * shape[2] != len(body):
        raise FrameError(f"an image of shape {shape} does not have {len(body)} bytes")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def encode_answer(number: int, outcomes: list[AskOutcome]) -> list[Any]:
    """The fields of an ANSWER."""
    return [ANSWER, number, [_pack_outcome(outcome) for outcome in outcomes]]


def _pack_outcome(outcome: AskOutcome) -> list[Any]:
    if isinstance(outcome, RefusedError):
        return [str(outcome.reason), outcome.message, outcome.retry_after_s]
    target = outcome.target
    first = next(iter(outcome.served.values()))
    tensors = []
    for task, served in outcome.served.items():
        prediction = np.ascontiguousarray(served.prediction)
        tensors.append([task, prediction.dtype.str, prediction.shape, prediction.tobytes()])
    return [
        target.tier, target.node, target.model, first.batch_size, first.queue_s,
        first.batch_wait_s, first.compute_s, outcome.link_s, tensors,
    ]  # fmt: skip


def unexpected_kind(kind: object) -> FrameError:
    """The error for a frame that begins with `kind`, where none of that kind is expected."""
    if not isinstance(kind, int):
        return FrameError(f"expected a number as a frame's kind, got {type(kind).__name__}")
    return FrameError(f"no frame of kind {kind} is expected here")


def parse_number(fields: list[Any]) -> int:
    """The id of an ANSWER or a CANCEL. Raises `FrameError`."""
    if len(fields) != (3 if fields[0] == ANSWER else 2) or type(fields[1]) is not int:
        raise FrameError("expected the number of a query")
    return fields[1]


def parse_probe(fields: list[Any]) -> int:
    """The id of a PROBE, whose bytes nobody reads. Raises `FrameError`."""
    if len(fields) != 3 or type(fields[1]) is not int or type(fields[2]) is not bytes:
        raise FrameError("expected a probe's number and bytes")
    return fields[1]


def parse_echo(fields: list[Any]) -> tuple[int, float]:
    """The id of an ECHO, and when its probe arrived. Raises `FrameError`."""
    if len(fields) != 3 or type(fields[1]) is not int or type(fields[2]) is not float:
        raise FrameError("expected a probe's number and a time")
    return fields[1], fields[2]


def parse_answer(fields: list[Any], asks: tuple[Ask, ...]) -> list[AskOutcome]:
    """The outcomes of `asks` in an ANSWER's fields. Raises `FrameError`."""
    packed = fields[2]
    if type(packed) is not list or len(packed) != len(asks):
        raise FrameError(f"expected {len(asks)} outcomes in an answer")
    return [_parse_outcome(entry, ask) for entry, ask in zip(packed, asks, strict=True)]


def _parse_outcome(entry: Any, ask: Ask) -> AskOutcome:
    if type(entry) is not list:
        raise FrameError("expected an outcome's fields")
    try:
        if len(entry) == 3:
            reason, message, retry_after_s = entry
            return RefusedError(RefusalReason.parse(reason), str(message), float(retry_after_s))
        tier, node, model, batch_size, queue_s, batch_wait_s, compute_s, link_s, tensors = entry
        times_s = (float(queue_s), float(batch_wait_s), float(compute_s))
        served = {
            str(task): Served(_parse_tensor(dtype, shape, body), int(batch_size), *times_s)
            for task, dtype, shape, body in tensors
        }
        target = Target(str(tier), str(node), str(model))
        reply = AskReply(target, served, float(link_s))
    except (TypeError, ValueError, OverflowError) as error:
        raise FrameError(f"an outcome is malformed: {type(error).__name__}") from None
    if not reply.served.keys() >= set(ask.tasks):
        raise FrameError(f"expected answers of {', '.join(ask.tasks)}")
    return reply


def _parse_tensor(dtype: Any, shape: Any, body: Any) -> np.ndarray:
    if type(dtype) is not str or type(shape) is not list or type(body) is not bytes:
        raise ValueError("expected a type, a shape and bytes")
    if not PREDICTED.fullmatch(dtype):  # numpy reads words of a language of its own there
        raise ValueError(f"no prediction is of type {dtype!r}")
    return np.frombuffer(body, dtype=np.dtype(dtype)).reshape(shape)
