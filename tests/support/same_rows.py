"""Two runs whose rows are the same."""

from __future__ import annotations

import numpy as np

from serving.traffic.measurement import SCHEMA, Measurements

__all__ = ["assert_same_rows"]


def assert_same_rows(rows: Measurements, expected: Measurements, atol: float = 0.0) -> None:
    """Every column of `rows` is that of `expected`; with `atol`, figures as near as that."""
    for name in SCHEMA.names:
        column, other = getattr(rows, name), getattr(expected, name)
        if atol and column.dtype.kind == "f":
            np.testing.assert_allclose(column, other, atol=atol, err_msg=name)
        else:
            np.testing.assert_array_equal(column, other, err_msg=name)
