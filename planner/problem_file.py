"""`problem.json`: the fields of `Problem` as nested lists, with `null` for "no limit"."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from pydantic import AliasChoices, Field

from cluster.document import Document
from cluster.provenance import Provenance
from planner.problem import NAME_FIELDS, Problem, ProblemError

__all__ = ["ProblemFile"]

Vector = tuple[float, ...]
OpenVector = tuple[float | None, ...]
Table = tuple[Vector, ...]
OpenTable = tuple[OpenVector, ...]
P = TypeVar("P", bound=Problem)


class ProblemFile(Document):
    """The stored form of a `Problem`; tables are lists of rows along the first axis letter.

    Files from before attachments name the edge of each client's only one `edge_of_c`, and its
    round trip `client_rtt_c`.
    """

    clients: tuple[str, ...]
    edges: tuple[str, ...]
    cloud: str
    tasks: tuple[str, ...]
    models: tuple[str, ...]
    edge_of_a: tuple[int, ...] = Field(validation_alias=AliasChoices("edge_of_a", "edge_of_c"))
    client_of_a: tuple[int, ...] = ()
    load_ct: Table
    accuracy_mt: Table
    client_memory_c: Vector
    edge_memory_e: Vector
    client_model_bytes_cm: OpenTable
    edge_model_bytes_em: OpenTable
    client_compute_c: Vector
    edge_compute_e: Vector
    window_e: Vector
    client_setup_cm: Table
    client_marginal_cm: Table
    edge_setup_em: Table
    edge_marginal_em: Table
    cloud_accuracy_t: Vector
    cloud_model_t: tuple[int, ...]
    cloud_cost_t: Vector
    query_bytes_t: Vector
    answer_bytes_t: Vector
    client_uplink_c: OpenVector
    edge_uplink_e: OpenVector
    cloud_compute: float | None = None
    deadline_t: OpenVector = ()
    uplink_a: OpenVector = ()
    rtt_a: Vector = Field(default=(), validation_alias=AliasChoices("rtt_a", "client_rtt_c"))
    edge_rtt_e: Vector = ()
    edge_max_batch_e: OpenVector = ()
    provenance: Provenance | None = None

    @classmethod
    def of(cls, problem: Problem) -> ProblemFile:
        """The stored form of `problem`."""
        data: dict[str, Any] = {name: getattr(problem, name) for name in (*NAME_FIELDS, "cloud")}
        for name in problem.array_fields():
            array = getattr(problem, name)
            data[name] = _open(array) if np.isinf(array).any() else array.tolist()
        finite = np.isfinite(problem.cloud_compute)
        data["cloud_compute"] = problem.cloud_compute if finite else None
        return cls.model_validate({**data, "provenance": problem.provenance})

    def problem(self, cls: type[P], source: str) -> P:
        """The problem itself. Raises `ProblemError` that names `source` and the field."""
        data: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        del data["schema_version"]
        for name in cls.array_fields():
            data[name] = _closed(data[name])
        if data["cloud_compute"] is None:
            data["cloud_compute"] = float("inf")
        try:
            return cls(**data)
        except ProblemError as error:
            raise ProblemError(f"{source}: {error}") from None


def _open(array: np.ndarray) -> list[Any]:
    if array.ndim > 1:
        return [_open(row) for row in array]
    return [value if np.isfinite(value) else None for value in array.tolist()]


def _closed(values: Any) -> Any:
    if isinstance(values, tuple):
        return [_closed(value) for value in values]
    return float("inf") if values is None else values
