"""Files that cross a stage: read, or refused by name, and what is read is written the same.

An input is the name of the document it is meant as, on a line of its own, and the file behind it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import yaml

from cluster.demand import Demand
from cluster.document import Document, DocumentError
from cluster.parsing import TextError, parse_json, parse_yaml
from cluster.topology import Topology
from fuzz.bend import bend_bytes, bend_data
from fuzz.target import CORPUS, Target
from models.zoo.cards import ModelCard
from planner.build import build_problem
from planner.evaluate import evaluate
from planner.plan import Plan
from planner.problem import Problem
from profiling.profile import Profiles
from serving.report.examples import Gallery
from serving.report.report import Report

__all__ = ["DOCUMENTS"]

LEAVES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 0.5, 1e-9, 1e300, -1e300, 2**63, 2**70, "", "x", "client-0", "edge-0",
    "cloud", "cpu", "cuda:0", "16MiB", "-1MiB", "1e30GB", "nan", "inf", "a" * 70, [], {}, [[]],
    [None], [0.0, 1.0], {"client-0": {"depth": 1.0}}, "2026-01-01",
)  # fmt: skip
QUERY_BYTES = {"segmentation": 22_000.0, "depth": 22_000.0}
ANSWER_BYTES = {"segmentation": 9_216.0, "depth": 18_432.0}


def _load_problem(path: Path) -> None:
    problem = Problem.load(path)
    assert Problem.load(problem.save(path)).digest == problem.digest


def _load(kind: type[Document]) -> Callable[[Path], None]:
    def load(path: Path) -> None:
        document = kind.load(path)
        assert kind.load(document.save(path)) == document
        _use(document)

    return load


LOADERS: Mapping[str, Callable[[Path], None]] = {
    "topology.yaml": _load(Topology),
    "demand.yaml": _load(Demand),
    "card.yaml": _load(ModelCard),
    "profiles.json": _load(Profiles),
    "problem.json": _load_problem,
    "plan.json": _load(Plan),
    "report.json": _load(Report),
    "gallery.json": _load(Gallery),
}


def _committed(name: str, kind: type[Document]) -> Any:
    raw = (CORPUS / "documents" / name).read_bytes()
    return kind.parse(parse_yaml(raw.partition(b"\n")[2].decode()))


def _use(document: Document) -> None:
    """As the stage that reads it does, beside the committed files of the other stages."""
    if isinstance(document, Plan):
        evaluate(PROBLEM, document).violations()
    parts = {"topology": TOPOLOGY, "profiles": PROFILES, "demand": DEMAND}
    for name, kind in (("topology", Topology), ("profiles", Profiles), ("demand", Demand)):
        if isinstance(document, kind):
            parts[name] = document
            topology, profiles, demand = parts.values()
            build_problem(
                topology, CARDS, profiles, demand.phases[0],
                query_bytes=QUERY_BYTES, answer_bytes=ANSWER_BYTES,
            )  # fmt: skip


TOPOLOGY: Any = _committed("topology", Topology)
PROFILES: Any = _committed("profiles", Profiles)
DEMAND: Any = _committed("demand", Demand)
CARDS: Any = (_committed("card_small", ModelCard), _committed("card_large", ModelCard))
PROBLEM = build_problem(
    TOPOLOGY, CARDS, PROFILES, DEMAND.phases[0], query_bytes=QUERY_BYTES, answer_bytes=ANSWER_BYTES
)


def make(rng: Random, corpus: Sequence[bytes]) -> bytes:
    name, _, body = rng.choice(corpus).partition(b"\n")
    if rng.random() < 0.2:
        return name + b"\n" + bend_bytes(rng, body, others=corpus)
    as_json = name.endswith(b".json")
    try:
        data = parse_json(body.decode()) if as_json else parse_yaml(body.decode())
    except (TextError, UnicodeDecodeError):
        return name + b"\n" + body
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = bend_data(rng, data, lambda rng: rng.choice(LEAVES))
    written = json.dumps(data) if as_json else yaml.safe_dump(data, sort_keys=False)
    return name + b"\n" + written.encode()


def check(data: bytes) -> None:
    name, _, body = data.partition(b"\n")
    load = LOADERS.get(name.decode("ascii", "replace"))
    if load is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name.decode()
        path.write_bytes(body)
        with suppress(DocumentError):
            try:
                load(path)
            except DocumentError as error:
                lines = str(error).splitlines()
                assert lines, "a refusal without a reason"
                assert len(lines) <= 21, lines
                assert max(map(len, lines)) < 2_000, lines
                raise


DOCUMENTS = Target("documents", make, check)
