"""`watch.jsonl.gz`: a system over time in one file, that a page can show again without it.

One JSON object a line: first a header with what stays, then samples, plans, decisions and events as
they came. Each line is flushed whole, so a killed command leaves all lines but its last.
"""

from __future__ import annotations

import gzip
import io
import json
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from cluster.document import DocumentError, FrozenModel
from cluster.fault_words import first_fault
from serving.traffic.measurement import Measurements
from serving.watch.decision_shown import DecisionShown
from serving.watch.facts import WatchFacts
from serving.watch.recorded import PlanSince, Recorded, WatchEvent
from serving.watch.sample import MomentS, SystemSample
from serving.watch.scored import Scored

__all__ = ["RECORDING", "RecordingWriter", "read_recording"]

RECORDING = "watch.jsonl.gz"
SCHEMA_VERSION = 1
MADE_BY = "`testbed drive` and `testbed live` make one"
L = TypeVar("L", bound=FrozenModel)


class HeaderLine(FrozenModel):
    """The first line."""

    kind: Literal["header"] = "header"
    schema_version: int = SCHEMA_VERSION
    command: str
    facts: WatchFacts


class TrafficLine(FrozenModel):
    """Traffic began that is scored: the times of its measurements count from here."""

    kind: Literal["traffic"] = "traffic"
    at_s: MomentS


class RecordingWriter:
    """Writes a recording line by line; may be called from several threads.

    Raises `OSError` where the file cannot be written.
    """

    def __init__(self, path: Path, facts: WatchFacts, command: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = path.open("wb")
        self._stream = gzip.GzipFile("", "wb", fileobj=self._file, mtime=0)
        header = HeaderLine(command=command, facts=facts)
        self._write(header.model_dump(mode="json"))

    def sample(self, sample: SystemSample) -> None:
        """Append a sample."""
        self._write({"kind": "sample", **sample.model_dump(mode="json", exclude_defaults=True)})

    def plan(self, since: PlanSince) -> None:
        """Append a plan that has come into force."""
        self._write({"kind": "plan", **since.model_dump(mode="json")})

    def decision(self, decision: DecisionShown) -> None:
        """Append a decision, or once more what has become of it."""
        self._write({"kind": "decision", **decision.model_dump(mode="json")})

    def event(self, event: WatchEvent) -> None:
        """Append an event."""
        self._write({"kind": "event", **event.model_dump(mode="json", exclude_defaults=True)})

    def traffic(self, at_s: float) -> None:
        """Note that traffic begins that is scored."""
        self._write(TrafficLine(at_s=at_s).model_dump(mode="json"))

    def close(self) -> None:
        """End the file; what comes after is dropped."""
        with self._lock:
            if not self._stream.closed:
                self._stream.close()
                self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        raw = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._stream.closed:
                return
            self._stream.write(raw)
            self._stream.flush(zlib.Z_SYNC_FLUSH)
            self._file.flush()


def read_recording(path: Path, rows: Measurements | None = None) -> Recorded:
    """The recording of a file. Its torn end, as a killed command leaves it, is left out and named.
    `rows` are what the traffic measured that it saw, if it saw any.

    Raises `DocumentError` for a file that is none, of a newer version, or torn before its end.
    """
    lines = _lines(path)
    torn = ""
    header: HeaderLine | None = None
    samples: list[SystemSample] = []
    plans: list[PlanSince] = []
    decisions: list[DecisionShown] = []
    events: list[WatchEvent] = []
    traffic_s: float | None = None
    for number, data in lines:
        where = f"{path}:{number}"
        if isinstance(data, str):
            torn = data
            break
        kind = data.pop("kind", None)
        if header is None:
            header = _header(data, kind, where, path)
        elif kind == "sample":
            samples.append(_parsed(SystemSample, data, where))
            _refuse_strange(samples, header.facts, where)
        elif kind == "plan":
            plans.append(_parsed(PlanSince, data, where))
        elif kind == "decision":
            decisions.append(_parsed(DecisionShown, data, where))
        elif kind == "event":
            events.append(_parsed(WatchEvent, data, where))
        elif kind == "traffic":
            traffic_s = _parsed(TrafficLine, data, where).at_s
        else:
            raise DocumentError(f"{where}: a line of an unknown kind, {kind!r}")
    if header is None:
        raise DocumentError(f"{path}: it is empty, and no recording; {MADE_BY}")
    if not samples:
        raise DocumentError(f"{path}: no node was looked at before it ends; {MADE_BY}")
    end_s = samples[-1].at_s
    return Recorded(
        facts=header.facts,
        samples=tuple(samples),
        plans=tuple(plans),
        decisions=tuple(decisions),
        events=tuple(events),
        scored=None if rows is None or traffic_s is None else Scored(rows, traffic_s),
        command=header.command,
        torn=torn and f"the recording is torn after {end_s:.0f} s: {torn}",
    )


def _refuse_strange(samples: list[SystemSample], facts: WatchFacts, where: str) -> None:
    """Raise `DocumentError` for a last sample that is older than the one before it, or of nodes or
    clients that the topology does not have."""
    last = samples[-1]
    if len(samples) > 1 and last.at_s < samples[-2].at_s:
        raise DocumentError(f"{where}: at_s: goes backwards, from {samples[-2].at_s:g} s")
    topology = facts.topology
    nodes, clients = {n.name for n in topology.nodes}, {n.name for n in topology.clients}
    for name, seen in last.nodes.items():
        if name not in nodes or (seen.ways and name not in clients):
            raise DocumentError(f"{where}: nodes: {name!r} is no such node of the topology")


def _header(data: dict[str, Any], kind: object, where: str, path: Path) -> HeaderLine:
    version = data.get("schema_version")
    if kind == "header" and isinstance(version, int) and version > SCHEMA_VERSION:
        raise DocumentError(
            f"{path}: a recording of version {version}, of a newer testbed; this one reads up to "
            f"version {SCHEMA_VERSION}, update it"
        )
    if kind != "header":
        raise DocumentError(f"{path}: not a recording: it does not begin with a header; {MADE_BY}")
    return _parsed(HeaderLine, data, where)


def _parsed(cls: type[L], data: dict[str, Any], where: str) -> L:
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise DocumentError(f"{where}: {first_fault(error)}") from None


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Number and object of each line; instead of an object, at the end, why it is torn."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror or error}; {MADE_BY}") from None
    text, torn = _unpacked(raw, path)
    ended = text.split(b"\n")
    for number, line in enumerate(ended, start=1):
        if not line:
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            if torn and number == len(ended):
                break
            raise DocumentError(f"{path}:{number}: not a JSON object") from None
        if not isinstance(data, dict):
            raise DocumentError(f"{path}:{number}: not a JSON object")
        yield number, data
    if torn:
        yield len(ended), torn


def _unpacked(raw: bytes, path: Path) -> tuple[bytes, str]:
    """The text of a packed file as far as it goes, and why it goes no further."""
    if not raw:
        raise DocumentError(f"{path}: it is empty, and no recording; {MADE_BY}")
    stream, parts = gzip.GzipFile(fileobj=io.BytesIO(raw)), []
    try:
        while part := stream.read1(1 << 20):
            parts.append(part)
    except EOFError:
        return b"".join(parts), "whoever wrote it was killed"
    except (OSError, zlib.error) as error:
        if not parts:
            raise DocumentError(f"{path}: not a recording: {error}; {MADE_BY}") from None
        return b"".join(parts), f"its end cannot be read ({error})"
    return b"".join(parts), ""
