"""Requests and responses of the Open Inference Protocol v2, whatever they travel in.

A model's name is a task, a deadline class of one as TASK@CLASS (F20), or `all`. A request carries
one tensor, `image`, UINT8 of shape
(h, w, 3) or (n, h, w, 3). The response to a task has one tensor, `prediction`; the response to
`all` has one for each task that the request's outputs name, called as the task is.
"""

from __future__ import annotations

import reprlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.tasks import find_task
from serving.errors import BadQueryError
from serving.ingress.oip_names import ALL, DATATYPES, INPUT, OUTPUT

__all__ = [
    "InferenceRequest",
    "InferenceResponse",
    "OutputTensor",
    "TensorSpec",
    "check_shape",
    "check_wanted",
    "datatype_of",
    "input_spec",
    "optional_text",
    "output_specs",
    "read_timeout_s",
    "shown",
]

LONGEST_TIMEOUT_S = 3_600.0
NOT_OFFERED = ("shared_memory_region", "classification")
"""what an output may be asked for by the protocol's extensions, and is not answered here"""
_BY_CODE = {np.dtype(name).str: datatype for name, datatype in DATATYPES.items()}


class InferenceRequest(NamedTuple):
    """What a caller asks of a model: images (n, h, w, 3) uint8, and how they are to be treated."""

    images_nhw3: NDArray[np.uint8]
    batched: bool = False
    """whether the tensor had a leading batch axis, which the answers then have too"""
    outputs: tuple[str, ...] = ()
    """names of the outputs asked for; none: all of the model's"""
    binary: bool | frozenset[str] = False
    """outputs that are to come back as raw bytes (HTTP)"""
    request_id: str = ""
    timeout_s: float | None = None
    caller: str = ""
    traceparent: str = ""
    """the header, if the caller sent one"""
    received_s: float | None = None
    """when its body was there, before it was read, on the node's clock; None: not known"""

    def within(self, timeout_s: float | None, caller: str) -> InferenceRequest:
        """The request with what its headers say: the earlier time-out, and the caller if any."""
        if timeout_s is None and not caller:
            return self
        known_s = [limit_s for limit_s in (self.timeout_s, timeout_s) if limit_s is not None]
        timeout_s = min(known_s, default=None)
        return self._replace(timeout_s=timeout_s, caller=caller or self.caller)


class OutputTensor(NamedTuple):
    """One tensor of a response, and which way it took (`parameters`, of the first image's)."""

    name: str
    values: NDArray[np.generic]
    parameters: Mapping[str, str | int | float]


class InferenceResponse(NamedTuple):
    """The outputs of `model`, in the order in which they were asked for."""

    model: str
    outputs: tuple[OutputTensor, ...]


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a model's metadata; -1 stands for the number of images."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """The protocol's JSON form."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


def datatype_of(values: NDArray[np.generic]) -> str:
    """The protocol's word for the type of `values`."""
    return _BY_CODE[values.dtype.str]  # a dtype's `name` is made anew each time it is asked for


def input_spec(size: tuple[int, int]) -> TensorSpec:
    """The one input of every model, for images of `size` (height, width)."""
    return TensorSpec(INPUT, "UINT8", (-1, *size, 3))


def output_specs(model: str, tasks: Sequence[str], size: tuple[int, int]) -> tuple[TensorSpec, ...]:
    """The outputs of `model`; `tasks` are the node's."""
    return tuple(
        TensorSpec(
            OUTPUT if model != ALL else task,
            DATATYPES[np.dtype(find_task(task).answer_dtype).name],
            (-1, *find_task(task).answer_shape(*size)),
        )
        for task in (tasks if model == ALL else (model,))
    )


def check_shape(shape: Any, size: tuple[int, int], max_images: int) -> tuple[int, ...]:
    """`shape` as a tuple, if it is one of `size` images. Raises `BadQueryError`."""
    if isinstance(shape, list) and all(type(extent) is int for extent in shape):
        count = shape[:-3] or [1]
        if shape[-3:] == [*size, 3] and len(count) == 1 and 1 <= count[0] <= max_images:
            return tuple(shape)
    height, width = size
    raise BadQueryError(
        422,
        f"inputs.0.shape: expected [{height}, {width}, 3] or [n, {height}, {width}, 3], n at most "
        f"{max_images}, got {shown(shape)}",
    )


def read_timeout_s(value: Any, unit_s: float, where: str) -> float:
    """Seconds of a time-out given in units of `unit_s`. Raises `BadQueryError`."""
    # A bool is an int to Python, and a NaN compares as false to everything.
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and 0 < value * unit_s <= LONGEST_TIMEOUT_S:
        return float(value * unit_s)
    raise BadQueryError(
        400,
        f"{where}: expected a positive number, at most {LONGEST_TIMEOUT_S:g} s, got {shown(value)}",
    )


def shown(value: Any) -> str:
    """A caller's value for a message: short, and however deep it is nested."""
    words = _SHORT.repr(value)
    return words if len(words) <= 80 else f"{words[:77]}..."


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def check_wanted(parameters: Container[str], where: str) -> None:
    """Raise `BadQueryError` where an output's parameters ask for what is not offered."""
    for name in NOT_OFFERED:
        if name in parameters:
            raise BadQueryError(400, f"{where}: {name} is not offered; leave it out")


def optional_text(value: Any, where: str) -> str:
    """A text that may be left out or null. Raises `BadQueryError` for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadQueryError(400, f"{where}: expected a string, got {shown(value)}")
    return value
