"""docs/formats.md: every example is read by its class, and every key is written down."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pydantic import BaseModel

from cluster.arrivals import KINDS
from cluster.demand import Demand
from cluster.document import Document
from cluster.measured_links import MeasuredLinks
from cluster.provenance import Provenance
from cluster.timeline import TimelineEvent, check_timeline
from cluster.topology import Topology
from models.zoo.cards import ModelCard
from planner.build import build_problem
from planner.evaluate import evaluate
from planner.plan import Plan
from planner.problem import Problem
from planner.problem_file import ProblemFile
from profiling.profile import Profiles
from serving.report.compare import Comparison
from serving.report.examples import Gallery
from serving.report.report import Report
from serving.runs.manifest import Manifest
from serving.scale.result import ScaleResult
from serving.traffic.measurement import SCHEMA, MeasurementRun, Measurements
from serving.traffic.schedule import build_schedule
from support.paths import ROOT

PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"<!-- example: (.+?) -->\n```(yaml|json)\n(.*?)```", re.DOTALL)
DOCUMENTS: dict[str, type[Document]] = {
    "topology.yaml": Topology,
    "demand.yaml": Demand,
    "profiles.json": Profiles,
    "problem.json": ProblemFile,
    "plan.json": Plan,
    "links.json": MeasuredLinks,
    "report.json": Report,
    "gallery.json": Gallery,
    "manifest.json": Manifest,
}
FRAGMENTS = ("arrivals", "timeline", "deadline classes")


def examples(name: str) -> list[Any]:
    return [
        json.loads(text) if kind == "json" else yaml.safe_load(text)
        for label, kind, text in EXAMPLE.findall(PAGE)
        if label == name
    ]


def example(name: str) -> Any:
    (only,) = examples(name)
    return only


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def words(text: str) -> set[str]:
    """Everything written in backquotes outside of example blocks."""
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))


def keys(model: type[BaseModel]) -> set[str]:
    """Keys of `model` and of the models inside it, provenance apart."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(name)
        for inner in inner_models(field.annotation):
            found |= keys(inner)
    return found


def inner_models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation] if annotation is not Provenance else []
    return [m for part in get_args(annotation) for m in inner_models(part)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_example_is_read_and_written_by_its_class(name: str, tmp_path: Path) -> None:
    document = DOCUMENTS[name].parse(example(name), source=name)
    assert DOCUMENTS[name].load(document.save(tmp_path / name)) == document


SECTIONS = {"manifest.json": "Runs"}
OTHERS: dict[str, type[Document]] = {
    "Model card": ModelCard,
    "comparison.json": Comparison,
    "scale.json": ScaleResult,
}


@pytest.mark.parametrize("name", [*DOCUMENTS, *OTHERS])
def test_each_key_is_explained(name: str) -> None:
    cls = {**DOCUMENTS, **OTHERS}[name]
    missing = keys(cls) - words(section(SECTIONS.get(name, name))) - words(PAGE.split("\n## ")[0])
    assert missing == set()


def test_every_kind_of_arrivals_has_an_example_that_can_be_drawn(tmp_path: Path) -> None:
    trace = tmp_path / "twitter-day.csv"
    trace.write_text("second,requests\n" + "".join(f"{s},{1 + s % 3}\n" for s in range(4_000)))
    kinds: set[str] = set()
    for name, stated in example("arrivals").items():
        data = {"name": name, "phases": [stated]}
        Demand.parse(data, source=name).save(tmp_path / "demand.yaml")
        demand = Demand.load(tmp_path / "demand.yaml")
        schedule = build_schedule(demand.phases, 1, 4)
        assert len(schedule) > 200 or schedule.callers, name
        kinds |= {process.kind for process in demand.phases[0].arrivals.values()}
    assert kinds == set(KINDS)


def test_every_event_has_an_example_of_nodes_and_links_that_are_there() -> None:
    data = {**example("demand.yaml"), "timeline": example("timeline")}
    timeline = Demand.parse(data).timeline
    check_timeline(timeline, Topology.parse(example("topology.yaml")))
    assert {event.name for event in timeline} == set(TimelineEvent.model_fields) - {"at_s"}


def test_the_example_of_deadline_classes_says_what_the_page_says() -> None:
    made = Demand.parse(example("deadline classes"))
    assert made.deadlines_s == {"depth": 1.0, "depth@fast": 0.1}
    assert made.phases[0].rates_qps["client-0"]["depth@fast"] == pytest.approx(1.0, abs=0.02)


def test_provenance_is_explained() -> None:
    assert set(Provenance.model_fields) - words(section("Provenance")) == set()


def test_the_cards_are_cards(tmp_path: Path) -> None:
    for data in examples("card"):
        card = ModelCard.parse(data)
        assert ModelCard.load(card.save(tmp_path / f"{card.name}.yaml")) == card


def test_the_files_of_the_examples_follow_from_one_another(tmp_path: Path) -> None:
    """Topology, cards, profiles and demand make the problem; the plan keeps its budgets."""
    answer_bytes = dict(zip(("segmentation", "depth"), (9216, 18432), strict=True))
    built = build_problem(
        Topology.parse(example("topology.yaml")),
        [ModelCard.parse(data) for data in examples("card")],
        Profiles.parse(example("profiles.json")),
        Demand.parse(example("demand.yaml")).phases[0],
        query_bytes=dict.fromkeys(answer_bytes, 22000),
        answer_bytes=answer_bytes,
    )
    problem = Problem.load(ProblemFile.parse(example("problem.json")).save(tmp_path / "p.json"))
    assert problem.digest == built.digest
    plan = Plan.parse(example("plan.json"))
    assert plan.problem_digest == problem.digest
    evaluation = evaluate(problem, plan)
    assert evaluation.violations() == []
    assert plan.predicted is not None
    assert evaluation.objective == pytest.approx(plan.predicted.objective, abs=1e-3)
    report = Report.parse(example("report.json"))
    assert report.predicted.accuracy == plan.predicted.objective
    assert report.certificate == plan.certificate


def test_the_columns_of_the_measurements_are_those_of_the_schema(tmp_path: Path) -> None:
    text = section("measurements.parquet")
    table = re.findall(r"^\| (`.+`) \| (int64|int32|float64|text) \|", text, re.MULTILINE)
    documented = {name: kind for cell, kind in table for name in re.findall(r"`(\w+)`", cell)}
    kinds = {pa.int64(): "int64", pa.int32(): "int32", pa.float64(): "float64"}
    assert documented == {field.name: kinds.get(field.type, "text") for field in SCHEMA}
    assert set(MeasurementRun.model_fields) - words(text) == set()

    run = MeasurementRun.model_validate(example("measurements metadata"))
    rows = example("measurements rows")
    columns: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in SCHEMA.names}
    loaded = Measurements.load(Measurements(run=run, **columns).save(tmp_path / "m.parquet"))
    assert loaded.answered.tolist() == [True, False]
    assert loaded.run == run


def test_the_page_promises_no_example_that_is_not_there() -> None:
    labels = {label for label, _, _ in EXAMPLE.findall(PAGE)}
    assert labels == {*DOCUMENTS, *FRAGMENTS, "card", "measurements metadata", "measurements rows"}
    assert PAGE.count("<!-- example:") == len(EXAMPLE.findall(PAGE))
