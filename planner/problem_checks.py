"""What a field of a problem must be; `ProblemError` names the path of an entry that is not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.problem_file import ProblemError

__all__ = [
    "check_curves",
    "check_index",
    "check_names",
    "check_node_names",
    "check_values",
    "refuse",
]

FloatArray = NDArray[np.float64]


def check_names(name: str, values: tuple[str, ...]) -> None:
    """Names must be there, and each once."""
    if not values:
        raise ProblemError(f"{name}: must not be empty")
    seen: set[str] = set()
    for position, value in enumerate(values):
        if value in seen:
            raise ProblemError(f"{name}.{position}: {value!r} is used twice")
        seen.add(value)


def check_node_names(clients: tuple[str, ...], edges: tuple[str, ...], cloud: str) -> None:
    """No two nodes may have the same name."""
    taken = {cloud, *clients}
    if cloud in clients:
        raise ProblemError(f"cloud: {cloud!r} is also the name of a client")
    for position, edge in enumerate(edges):
        if edge in taken:
            raise ProblemError(f"edges.{position}: {edge!r} is also the name of another node")


def check_values(name: str, array: FloatArray, *, finite: bool) -> None:
    """Numbers from 0 on."""
    refuse(name, array, np.isnan(array), "must be a number")
    refuse(name, array, array < 0, "must be at least 0")
    if finite:
        refuse(name, array, np.isinf(array), "must be finite")


def check_index(name: str, array: NDArray[np.int64], low: int, names: tuple[str, ...]) -> None:
    """Indices of `names`, from `low` on."""
    outside = (array < low) | (array >= len(names))
    refuse(name, array, outside, f"must be an index from {low} to {len(names) - 1}")


def check_curves(sizes_z: FloatArray, curve_emz: FloatArray) -> None:
    """Batch sizes that rise from 1, two at least, and for each of them a time that never falls;
    or neither sizes nor times (F15)."""
    if curve_emz.shape[2] != len(sizes_z):
        raise ProblemError(
            f"edge_curve_emz: expected a time for each of the {len(sizes_z)} sizes of "
            f"curve_sizes_z, got {curve_emz.shape[2]}"
        )
    if len(sizes_z) == 0:
        return
    if len(sizes_z) == 1:
        raise ProblemError("curve_sizes_z: one size says nothing of larger batches; give two")
    refuse("curve_sizes_z", sizes_z, sizes_z != np.round(sizes_z), "must be a whole number")
    refuse("curve_sizes_z", sizes_z[:1], sizes_z[:1] != 1, "must be 1, the smallest batch")
    falls_z = np.diff(sizes_z, prepend=0.0) <= 0
    refuse("curve_sizes_z", sizes_z, falls_z, "must be larger than the size before")
    falls_emz = np.diff(curve_emz, axis=2, prepend=0.0) < 0
    refuse("edge_curve_emz", curve_emz, falls_emz, "must not be less than that of a smaller batch")


def refuse(name: str, array: NDArray[Any], bad: NDArray[np.bool_], message: str) -> None:
    """Raise with the path of the first entry of `array` that is `bad`, if there is one."""
    if not np.any(bad):
        return
    where = np.unravel_index(int(np.argmax(bad)), bad.shape) if array.ndim else ()
    path = ".".join([name, *(str(int(position)) for position in where)])
    raise ProblemError(f"{path}: {message} (got {array[where].item()!r})")
