"""Measurements: what is saved comes back, and what is no measurement is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.document import DocumentError
from serving.traffic.measurement import SCHEMA, Measurements
from serving.traffic.schedule import Schedule


def test_saved_measurements_come_back_as_they_were(
    measurements: Measurements, tmp_path: Path
) -> None:
    path = measurements.save(tmp_path / "deep" / "measurements.parquet")
    back = Measurements.load(path)
    assert back.run == measurements.run
    assert back.run.provenance.seed == 1
    for name in SCHEMA.names:
        column = getattr(back, name)
        assert np.array_equal(column, getattr(measurements, name)), name
        assert column.dtype.kind == getattr(measurements, name).dtype.kind
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_rows_carry_the_names_of_the_schedule(
    measurements: Measurements, schedule: Schedule
) -> None:
    assert len(measurements) == len(schedule)
    assert measurements.task[4] == schedule.tasks[schedule.task_q[4]]
    assert measurements.client[4] == schedule.clients[schedule.client_q[4]]
    assert np.allclose(measurements.lateness_s, 0.001)
    assert np.allclose(np.unique(measurements.latency_s.round(9)), [0.1, 0.2])


def test_a_phase_can_be_looked_at_alone(measurements: Measurements) -> None:
    parts = [measurements.in_phase(phase) for phase in (0, 1)]
    assert sum(map(len, parts)) == len(measurements)
    assert parts[1].scheduled_s.min() >= 10.0 > parts[0].scheduled_s.max()


def test_an_empty_run_is_a_file_too(measurements: Measurements, tmp_path: Path) -> None:
    none = measurements.select(np.zeros(len(measurements), dtype=bool))
    assert len(Measurements.load(none.save(tmp_path / "none.parquet"))) == 0


def other_table(folder: Path) -> Path:
    path = folder / "other.parquet"
    pq.write_table(pa.table({"x": [1, 2]}), path)
    return path


def broken_columns(folder: Path, measurements: Measurements) -> Path:
    path = measurements.save(folder / "columns.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["score", "node"]), path)
    return path


def broken_metadata(folder: Path, measurements: Measurements) -> Path:
    path = measurements.save(folder / "m.parquet")
    table = pq.read_table(path)
    metadata = {k: v.replace(b'"schema_version":1', b'"schema_version":9')
                for k, v in table.schema.metadata.items()}  # fmt: skip
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def endless(folder: Path, measurements: Measurements) -> Path:
    columns: dict[str, Any] = {"done_s": np.full(len(measurements), np.inf)}
    return replace(measurements, **columns).save(folder / "endless.parquet")


def test_what_is_not_a_measurement_file_is_refused_in_one_line(
    measurements: Measurements, tmp_path: Path
) -> None:
    text = tmp_path / "text.parquet"
    text.write_text("no parquet")
    cases = [
        (tmp_path / "absent.parquet", "No such file"),
        (tmp_path, "it is a folder"),
        (text, "not a parquet file"),
        (other_table(tmp_path), "metadata key"),
        (broken_columns(tmp_path, measurements), "columns are missing: node, score"),
        (broken_metadata(tmp_path, measurements), "schema_version"),
        (endless(tmp_path, measurements), "a number that is not finite"),
    ]
    for path, message in cases:
        with pytest.raises(DocumentError, match=message) as caught:
            Measurements.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("outcome", "lost", "unknown values"),
        ("score", 1.5, r"\[0, 1\]"),
        ("score", float("nan"), r"\[0, 1\]"),
    ],
)
def test_impossible_columns_are_refused(
    measurements: Measurements, name: str, value: object, message: str
) -> None:
    column = np.full(len(measurements), value)
    whole: dict[str, Any] = {name: column}
    short: dict[str, Any] = {name: column[:-1]}
    with pytest.raises(ValueError, match=message):
        replace(measurements, **whole)
    with pytest.raises(ValueError, match=f"column {name}"):
        replace(measurements, **short)
