"""`measurements.parquet`: one row a query, and the facts of the run in the file's metadata.

Axes: q = query, in order of scheduled time. All times are seconds from the start of the run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from cluster.document import DocumentError, FrozenModel
from cluster.fault_words import first_fault
from cluster.provenance import Provenance
from serving.system import Answer, Outcome, Timing
from serving.traffic.driver import Record
from serving.traffic.run_use import HostUse, RunUse
from serving.traffic.schedule import Schedule
from serving.traffic.sent import SentTraffic, describe_sent

__all__ = [
    "SCHEMA", "SIMULATED", "MeasurementRun", "Measurements", "build_measurements",
]  # fmt: skip

SIMULATED = "testbed.simulate"
"""the command that made what was simulated"""
_SCHEMA_VERSION = 1
_METADATA_KEY = b"testbed.measurements"
_TEXT = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("query", pa.int64(), nullable=False),
        pa.field("phase", pa.int32(), nullable=False),
        pa.field("client", _TEXT, nullable=False),
        pa.field("task", _TEXT, nullable=False),
        pa.field("image", pa.int32(), nullable=False),
        pa.field("outcome", _TEXT, nullable=False),
        pa.field("reason", _TEXT, nullable=False),
        pa.field("tier", _TEXT, nullable=False),
        pa.field("node", _TEXT, nullable=False),
        pa.field("model", _TEXT, nullable=False),
        pa.field("plan_version", pa.int32(), nullable=False),
        pa.field("batch_size", pa.int32(), nullable=False),
        pa.field("scheduled_s", pa.float64(), nullable=False),
        pa.field("sent_s", pa.float64(), nullable=False),
        pa.field("done_s", pa.float64(), nullable=False),
        pa.field("queue_s", pa.float64(), nullable=False),
        pa.field("batch_wait_s", pa.float64(), nullable=False),
        pa.field("compute_s", pa.float64(), nullable=False),
        pa.field("link_s", pa.float64(), nullable=False),
        pa.field("bound_s", pa.float64(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("trace_id", _TEXT, nullable=False),
    ]
)
LATER = frozenset({"trace_id"})
"""columns of text that files of older versions lack; empty there"""


_TIMES = ("scheduled_s", "sent_s", "done_s")
_COUNTERS = ("busy_s", "wall_s", "batches", "late_batches", "link_bytes", "link_busy_s")


class MeasurementRun(FrozenModel):
    """What was driven: stored beside the rows."""

    schema_version: int = Field(default=_SCHEMA_VERSION, ge=1, le=_SCHEMA_VERSION)
    policy: str
    plan_version: int = Field(description="version of the plan at the start of the run")
    plan_digest: str | None = Field(
        default=None, description="of the plan in force at the start; older files lack it"
    )
    profiles_digest: str | None = Field(
        default=None, description="of the profiles that this plan was made from, if it says"
    )
    duration_s: float = Field(gt=0)
    phase_starts_s: tuple[float, ...] = (0.0,)
    bounds_s: dict[str, float] = Field(
        default_factory=dict, description="promised latency by path, e.g. 'edge'"
    )
    deadlines_s: dict[str, float] = Field(
        default_factory=dict,
        description="task, or class of one as TASK@CLASS -> seconds within which it was to "
        "be answered (F13, F20)",
    )
    busy_s: dict[str, float] = Field(
        default_factory=dict, description="device-busy seconds by node over the run"
    )
    wall_s: dict[str, float] = Field(
        default_factory=dict,
        description="by node, seconds that its batches took by the clock on the wall",
    )
    batches: dict[str, int] = Field(
        default_factory=dict, description="by node that emulates a device: batches over the run"
    )
    late_batches: dict[str, int] = Field(
        default_factory=dict, description="of these, those that came later than from the device"
    )
    link_bytes: dict[str, int] = Field(
        default_factory=dict, description="that went up, by link: 'client-0 to edge-0'"
    )
    link_busy_s: dict[str, float] = Field(
        default_factory=dict, description="seconds in which the link carried them"
    )
    host: HostUse | None = Field(
        default=None, description="the machine that drove; absent in simulated time"
    )
    requests: int | None = Field(
        default=None,
        description="in which the queries came, where some asked several tasks of one image (F14)",
    )
    sent: SentTraffic | None = Field(
        default=None, description="how uneven the arrivals were; files of older versions lack it"
    )
    provenance: Provenance

    @property
    def simulated(self) -> bool:
        """Whether it ran in simulated time."""
        return self.provenance.command == SIMULATED


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """Columns of equal length (q), as in `SCHEMA`. Raises `ValueError` if they are not."""

    run: MeasurementRun
    query: NDArray[np.int64]
    phase: NDArray[np.int32]
    client: NDArray[np.str_]
    task: NDArray[np.str_]
    image: NDArray[np.int32]
    outcome: NDArray[np.str_]
    reason: NDArray[np.str_]
    tier: NDArray[np.str_]
    node: NDArray[np.str_]
    model: NDArray[np.str_]
    plan_version: NDArray[np.int32]
    batch_size: NDArray[np.int32]
    scheduled_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    queue_s: NDArray[np.float64]
    batch_wait_s: NDArray[np.float64]
    compute_s: NDArray[np.float64]
    link_s: NDArray[np.float64]
    bound_s: NDArray[np.float64]
    score: NDArray[np.float64]
    trace_id: NDArray[np.str_]
    """of queries whose way was traced (`testbed explain`), else empty"""

    def __post_init__(self) -> None:
        rows = len(self.query)
        for name in SCHEMA.names:
            if getattr(self, name).shape != (rows,):
                raise ValueError(f"column {name}: expected {rows} values")
        strange = set(np.unique(self.outcome)) - {str(outcome) for outcome in Outcome}
        if strange:
            raise ValueError(f"column outcome: unknown values {sorted(strange)}")
        if rows and (self.score.min() < 0 or self.score.max() > 1 or np.isnan(self.score).any()):
            raise ValueError("column score: expected values in [0, 1]")

    def __len__(self) -> int:
        return len(self.query)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Mask (q) of the answered queries."""
        answered_q: NDArray[np.bool_] = self.outcome == Outcome.ANSWERED
        return answered_q

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """Seconds (q) from the scheduled time to the answer or refusal."""
        return self.done_s - self.scheduled_s

    @property
    def in_time(self) -> NDArray[np.bool_]:
        """Mask (q) of the queries that were answered within the bound of their path."""
        in_time_q: NDArray[np.bool_] = self.answered & (self.latency_s <= self.bound_s)
        return in_time_q

    @property
    def lateness_s(self) -> NDArray[np.float64]:
        """Seconds (q) by which the generator itself sent too late."""
        return self.sent_s - self.scheduled_s

    @classmethod
    def pooled(cls, runs: Sequence[Measurements]) -> Measurements:
        """The rows of several runs as if they were one after another; counters and durations add
        up, and what else is said of a run is that of the first. Raises `ValueError` for none."""
        if not runs:
            raise ValueError("there is no run to pool")
        first = runs[0].run
        starts_s = np.cumsum([0.0, *(rows.run.duration_s for rows in runs)])
        columns: dict[str, Any] = {
            name: np.concatenate([
                getattr(rows, name) + start_s if name in _TIMES else getattr(rows, name)
                for rows, start_s in zip(runs, starts_s, strict=False)
            ])
            for name in SCHEMA.names
        }  # fmt: skip
        columns["query"] = np.arange(len(columns["query"]))
        added = {
            name: {
                key: sum(getattr(rows.run, name).get(key, 0) for rows in runs)
                for key in getattr(first, name)
            }
            for name in _COUNTERS
        }
        update = {**added, "duration_s": float(starts_s[-1]), "sent": None, "host": None}
        if first.requests is not None:
            update["requests"] = sum(rows.run.requests or len(rows) for rows in runs)
        return cls(run=first.model_copy(update=update), **columns)

    def select(self, mask: NDArray[np.bool_]) -> Measurements:
        """The rows where `mask` (q) holds."""
        columns: dict[str, Any] = {name: getattr(self, name)[mask] for name in SCHEMA.names}
        return Measurements(run=self.run, **columns)

    def in_phase(self, phase: int) -> Measurements:
        """The rows of one phase of the demand."""
        return self.select(self.phase == phase)

    def save(self, path: str | Path) -> Path:
        """Write atomically as parquet; returns the path written."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = [_to_arrow(getattr(self, field.name), field.type) for field in SCHEMA]
        metadata = {_METADATA_KEY: self.run.model_dump_json().encode()}
        table = pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata(metadata))
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            written = Path(folder) / path.name
            pq.write_table(table, written, compression="zstd")
            written.replace(path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read `path`. Raises `DocumentError`, in one line, for a file `save` did not write."""
        path = Path(path)
        if path.is_dir():
            raise DocumentError(f"{path}: it is a folder; name the file of a run's measurements")
        try:
            table = pq.read_table(path, partitioning=None)
        except FileNotFoundError:
            raise DocumentError(
                f"{path}: No such file or directory; `testbed drive` makes one"
            ) from None
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DocumentError(
                f"{path}: not a parquet file: {reason.rstrip('.')}; `testbed drive` makes one"
            ) from None
        raw = (table.schema.metadata or {}).get(_METADATA_KEY)
        if raw is None:
            raise DocumentError(
                f"{path}: not measurements of this testbed: metadata key "
                f"{_METADATA_KEY.decode()!r} is missing"
            )
        try:
            names = set(table.column_names)
        except UnicodeDecodeError:
            raise DocumentError(f"{path}: the name of a column is not UTF-8") from None
        missing = [name for name in SCHEMA.names if name not in names | LATER]
        if missing:
            raise DocumentError(f"{path}: columns are missing: {', '.join(missing)}")
        try:
            run = MeasurementRun.model_validate_json(raw)
            columns: dict[str, Any] = {
                f.name: _from_arrow(table.column(f.name), f.type)
                if f.name in names
                else np.full(len(table), "", np.str_)
                for f in SCHEMA
            }
            return cls(run=run, **columns)
        except ValidationError as error:
            raise DocumentError(f"{path}: metadata: {first_fault(error)}") from None
        except (pa.ArrowException, ValueError) as error:
            raise DocumentError(f"{path}: {str(error).splitlines()[0]}") from None


def build_measurements(
    schedule: Schedule,
    records: Sequence[Record],
    *,
    policy: str,
    plan_version: int,
    provenance: Provenance,
    plan_digest: str | None = None,
    profiles_digest: str | None = None,
    windows_s: Mapping[str, float] | None = None,
    deadlines_s: Mapping[str, float] | None = None,
    use: RunUse | None = None,
) -> Measurements:
    """Measurements of scored `records` of `schedule`. `windows_s` is T_b by client, of the edge
    that it reaches, `deadlines_s` those of tasks and classes under the plan; `use` is what the run
    took of nodes and links."""
    use = use or RunUse()
    answers = [record.answer for record in records]
    run = MeasurementRun(
        policy=policy,
        plan_version=plan_version,
        plan_digest=plan_digest,
        profiles_digest=profiles_digest,
        duration_s=schedule.duration_s,
        phase_starts_s=schedule.phase_starts_s,
        bounds_s=_loosest_bounds(answers),
        deadlines_s=dict(deadlines_s or {}),
        busy_s=dict(use.busy_s),
        wall_s=dict(use.wall_s),
        batches=dict(use.batches),
        late_batches=dict(use.late_batches),
        link_bytes=dict(use.link_bytes),
        link_busy_s=dict(use.link_busy_s),
        host=use.host,
        requests=None if schedule.request_q is None else len(schedule.requests()),
        sent=describe_sent(schedule, windows_s),
        provenance=provenance,
    )
    place_r = np.array([record.place for record in records], dtype=np.int64)
    columns: dict[str, Any] = {
        "query": place_r,
        "phase": schedule.phase_q[place_r],
        "client": np.array(schedule.clients, np.str_)[schedule.client_q[place_r]],
        "task": np.array(schedule.tasks, np.str_)[schedule.task_q[place_r]],
        "image": schedule.image_q[place_r],
        "scheduled_s": schedule.scheduled_s_q[place_r],
    }
    sources = (records, Record), (answers, Answer), ([each.timing for each in answers], Timing)
    for rows, kind in sources:
        for name in kind._fields:
            if name in SCHEMA.names and name not in columns:
                columns[name] = _column(map(attrgetter(name), rows), len(rows), name)
    return Measurements(run=run, **columns)


def _column(values: Iterator[Any], rows: int, name: str) -> NDArray[Any]:
    """The column of `SCHEMA` of that name with so many values."""
    kind = SCHEMA.field(name).type
    if kind == _TEXT:
        return np.array(list(values), np.str_)
    return np.fromiter(values, kind.to_pandas_dtype(), rows)


def _loosest_bounds(answers: Iterable[Answer]) -> dict[str, float]:
    """The loosest bound in seconds that was promised on each tier that answered."""
    loosest_s: dict[str, float] = {}
    for tier, bound_s in {(answer.tier, answer.bound_s) for answer in answers}:
        if tier:
            loosest_s[tier] = max(bound_s, loosest_s.get(tier, 0.0))
    return dict(sorted(loosest_s.items()))


def _numpy_type(kind: pa.DataType) -> Any:
    return np.str_ if kind == _TEXT else kind.to_pandas_dtype()


def _to_arrow(column: NDArray[Any], kind: pa.DataType) -> pa.Array:
    if kind != _TEXT:
        return pa.array(column, kind)
    return pa.array(column.tolist(), pa.string()).dictionary_encode().cast(_TEXT)


def _from_arrow(column: pa.ChunkedArray, kind: pa.DataType) -> NDArray[Any]:
    if column.null_count:
        raise ValueError("a column has empty cells")
    if kind == _TEXT:
        return np.array(column.cast(pa.string()).to_pylist(), dtype=np.str_)
    values: NDArray[Any] = column.cast(kind).to_numpy()
    if kind == pa.float64() and not np.isfinite(values).all():
        raise ValueError("a column has a number that is not finite")
    return values.astype(_numpy_type(kind))
