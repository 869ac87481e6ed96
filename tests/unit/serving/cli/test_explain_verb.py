"""`testbed explain`: a query of a run, or the ways of a client's task, from files alone."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from cluster.provenance import collect_provenance
from cluster.providers.state import log_folder
from planner.plan import Plan
from planner.policies import solve
from serving.cli import inputs
from serving.cli.main import run
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate
from serving.tracing.config import span_file
from serving.tracing.exporters import SpanFile
from serving.tracing.node_tracing import NodeTracing
from serving.traffic.measurement import Measurements
from support.demo_setting import demo_demand, demo_setting
from support.run_files import put_run

TRACE = "0af7651916cd43dd8448eb211c80319c"


@cache
def setting() -> Setting:
    return demo_setting()


@cache
def plan() -> Plan:
    return solve(setting().problem(demo_demand().phases[0]), "baj3o").plan


@cache
def rows() -> Measurements:
    """A short run, whose fourth query was traced."""
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 4.0})
    measured = simulate(setting(), plan(), [phase], seed=1)
    provenance = collect_provenance("testbed drive", seed=1)
    traced = np.where(measured.query == 3, TRACE, "")
    told = measured.run.model_copy(update={"provenance": provenance})
    return replace(measured, run=told, trace_id=traced)


@pytest.fixture(autouse=True)
def run_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(inputs, "list_models", lambda *_: setting().cards)
    put_run(tmp_path, setting(), plan(), rows())


def leave_spans() -> None:
    exporter = SpanFile(span_file(log_folder(), "client-0"))
    tracing = NodeTracing("client-0", 0.0, SimpleSpanProcessor(exporter))
    span = tracing.begin("query", f"00-{TRACE}-b7ad6b7169203331-01", {"task": "depth"})
    assert span is not None
    span.begin("link", {"towards": "edge-0"}).end()
    span.end()
    tracing.close()


def test_a_query_is_told_with_its_way_and_all_others(capsys: pytest.CaptureFixture[str]) -> None:
    leave_spans()
    assert run(["explain", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    q = int(np.flatnonzero(rows().query == 3)[0])
    assert told["query"]["client"] == rows().client[q]
    assert told["query"]["latency_s"] == pytest.approx(rows().latency_s[q])
    assert sum(told["query"]["stages_s"].values()) == pytest.approx(rows().latency_s[q])
    took = [way for way in told["ways"] if way["model"] == rows().model[q] and way["share"]]
    assert took
    assert f"the plan sends {took[0]['share']:.1%}" in told["query"]["why"]
    open_ways = [way for way in told["ways"] if not way["closed"]]
    assert [way["worth"] for way in open_ways] == sorted(
        (way["worth"] for way in open_ways), reverse=True
    )
    assert {span["name"] for span in told["spans"]} == {"query", "link"}


def test_a_trace_finds_its_query_and_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    leave_spans()
    assert run(["explain", TRACE]) == 0
    told = capsys.readouterr().out
    assert "query 3: " in told
    assert "at the prices of the plan's budgets" in told
    assert "its spans, trace" in told
    assert "  link" in told


def test_spans_alone_are_shown_of_a_query_that_another_program_sent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    leave_spans()
    for path in (tmp_path / "out").rglob("measurements.parquet"):
        path.unlink()
    put_run(tmp_path, setting(), plan(), name="later")
    assert run(["explain", TRACE, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["query"] is None
    assert len(told["spans"]) == 2


def test_the_ways_of_a_client_need_no_traffic(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "--client", "client-1", "--task", "depth", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    nodes = {way["node"] for way in told["ways"]}
    assert nodes == {"client-1", "edge-0", "cloud"}
    assert any(cost["label"] == "F7" for way in told["ways"] for cost in way["costs"])


def test_queries_that_nobody_knows_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for asked, words in (
        (["explain", "999999"], "query 999999: run first has no query of that number or trace"),
        (["explain", "0" * 32], "run first has no query of that number or trace"),
        (["explain"], "name a query, or a client and a task"),
        (["explain", "3", "--client", "client-0"], "name a query, or a client and a task"),
        (["explain", "--client", "client-0"], "name a query, or a client and a task"),
        (["explain", "--client", "nobody", "--task", "depth"], "no client 'nobody'"),
    ):
        assert run(asked) == 2
        said = capsys.readouterr().err
        assert words in said
        assert len(said.strip().splitlines()) == 1
