"""Files of measurements: read and summed up, or refused in one line."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.document import DocumentError
from fuzz.bend import bend_bytes
from fuzz.target import Target
from serving.traffic.measurement import Measurements
from serving.traffic.summary import summarise_run

__all__ = ["MEASUREMENTS"]

KINDS = (pa.int64(), pa.int8(), pa.float64(), pa.string(), pa.bool_(), pa.binary())
VALUES = (0, 1, -1, 2**31, 2**62, float("nan"), float("inf"), -1.5, "", "answered", "shed", None)


def make(rng: Random, corpus: Sequence[bytes]) -> bytes:
    whole = rng.choice(corpus)
    if rng.random() < 0.5:
        return bend_bytes(rng, whole, others=corpus)
    try:
        return _bend_table(rng, pq.read_table(io.BytesIO(whole)))
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError):
        return bend_bytes(rng, whole)


def _bend_table(rng: Random, table: pa.Table) -> bytes:
    """A well-formed file with another column, type, value, or text in its metadata."""
    place = rng.randrange(table.num_columns)
    name = table.column_names[place]
    kind = rng.randrange(5)
    if kind == 0:
        table = table.drop_columns([name])
    elif kind == 1:
        table = table.set_column(place, name, table.column(name).cast(rng.choice(KINDS)))
    elif kind == 2:
        values = table.column(name).to_pylist()
        values[rng.randrange(len(values))] = rng.choice(VALUES)
        table = table.set_column(place, name, pa.array(values))
    elif kind == 3:
        table = table.slice(0, rng.randrange(len(table) + 1))
    else:
        found = table.schema.metadata or {}
        bent = {
            key: bend_bytes(rng, value, (b"null", b"1e999", b"-1")) for key, value in found.items()
        }
        table = table.replace_schema_metadata(bent)
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measurements.parquet"
        path.write_bytes(data)
        try:
            found = Measurements.load(path)
        except DocumentError as error:
            assert str(error).startswith(str(path)), str(error)
            assert "\n" not in str(error), str(error)
            return
        if len(found):
            with np.errstate(all="ignore"):  # a time may be any number
                summarise_run(found)


MEASUREMENTS = Target("measurements", make, check)
