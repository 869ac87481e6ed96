"""`problem.json`: the fields of `Problem` as nested lists, with `null` for "no limit"."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, ClassVar

import numpy as np
from pydantic import AliasChoices, Field

from cluster.document import Document, DocumentError
from cluster.provenance import Provenance

__all__ = ["NAME_FIELDS", "ProblemError", "ProblemFile"]

Vector = tuple[float, ...]
OpenVector = tuple[float | None, ...]
Table = tuple[Vector, ...]
OpenTable = tuple[OpenVector, ...]
NAME_FIELDS = ("clients", "edges", "tasks", "models")


class ProblemError(DocumentError):
    """A field of a problem is wrong; the message starts with its path (`load_ct.3.1: ...`)."""


class ProblemFile(Document):
    """The stored form of a `Problem`; tables are lists of rows along the first axis letter.

    Files from before attachments name the edge of each client's only one `edge_of_c`, and its
    round trip `client_rtt_c`.
    """

    made_by: ClassVar[str] = "`testbed plan` and `testbed problem sample` make one"

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
    dispersion_c: Vector = ()
    burst_correlation: float = 0.0
    client_moving_cm: Table = ()
    edge_moving_em: Table = ()
    bandwidth_a: OpenVector = ()
    backlog_a: OpenVector = ()
    edge_bandwidth_e: OpenVector = ()
    edge_backlog_e: OpenVector = ()
    bundle_bt: Table = ()
    bundle_load_cb: Table = ()
    curve_sizes_z: Vector = ()
    edge_curve_emz: tuple[Table, ...] = ()
    provenance: Provenance | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ProblemFile:
        """The stored form of a problem's fields (`planner.problem.Problem`), by name."""
        return cls.model_validate({name: _open(value) for name, value in values.items()})

    def fields(self) -> dict[str, Any]:
        """The fields of the problem, by name, with inf for "no limit"."""
        names = set(type(self).model_fields) - {"schema_version"}
        as_they_are = {*NAME_FIELDS, "cloud", "provenance"}
        return {
            name: value if name in as_they_are else _closed(value)
            for name, value in ((name, getattr(self, name)) for name in names)
        }


def _open(value: Any) -> Any:
    """Arrays as lists, and None for inf."""
    if isinstance(value, np.ndarray):
        if value.ndim > 1:
            return [_open(row) for row in value]
        return [None if entry == inf else entry for entry in value.tolist()]
    return None if isinstance(value, float) and value == inf else value


def _closed(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_closed(entry) for entry in value]
    return inf if value is None else value
