"""Every table and figure of a page can be kept as a file, from the page alone."""

from __future__ import annotations

import base64
import csv
import io
import re
import xml.etree.ElementTree as ElementTree

import pytest

from serving.report.beside import beside_rows, render_beside
from serving.report.downloads import as_csv, as_svg, flat_row
from serving.report.html import page_css, render_page
from support.report_page import full_page
from support.synthetic_run import Synthetic

LINK = re.compile(r'<a download="([\w.-]+)" href="data:([\w/+]+);charset=utf-8;base64,([^"]+)">')


def files_in(page: str) -> dict[str, str]:
    found = {name: base64.b64decode(data).decode() for name, _, data in LINK.findall(page)}
    assert len(found) == len(LINK.findall(page)), "two files of a page have one name"
    return found


@pytest.fixture(scope="module")
def text(made: Synthetic) -> str:
    return render_page(full_page(made))


def test_every_figure_is_there_as_a_drawing_that_stands_alone(text: str) -> None:
    drawings = {name: svg for name, svg in files_in(text).items() if name.endswith(".svg")}
    assert len(drawings) == text.count("<svg") == 11
    for name, svg in drawings.items():
        root = ElementTree.fromstring(svg)
        assert float(root.attrib["width"]) > 100, name
        assert "var(" not in svg, name
        assert "svg text{" in svg.replace("svg text {", "svg text{"), name


def test_every_table_is_there_as_rows(text: str) -> None:
    tables = {
        name: list(csv.DictReader(io.StringIO(body)))
        for name, body in files_in(text).items()
        if name.endswith(".csv")
    }
    assert sorted(tables) == [
        "changes.csv", "links.csv", "live.csv", "policies.csv", "predictions.csv", "streams.csv",
        "summary.csv", "traffic.csv",
    ]  # fmt: skip
    for section in re.findall(r"<section.*?</section>", text, re.DOTALL):
        if "<table" in section and 'class="facts"' not in section:
            assert re.search(r'download="\w+\.csv"', section), section[:200]
    assert tables["links.csv"][1]["planned_share"] == "1.0"
    assert {row["task"] for row in tables["streams.csv"]} >= {"depth", "edges"}
    assert [row["where"] for row in tables["predictions.csv"]] == ["m on client-0", "m on edge-0"]
    measured = {row["figure"]: row["value"] for row in tables["summary.csv"]}
    assert float(measured["latency_s.p50"]) > 0
    assert tables["changes.csv"][0]["loads.client-0"] == "rooms-small-all"


def test_two_runs_side_by_side_have_their_files_too(made: Synthetic) -> None:
    page = full_page(made)
    pages, names = (page, page), ("one", "two")
    files = files_in(render_beside(names, pages, list(beside_rows(names, pages))))
    assert {"figures.csv", "tasks-1.svg", "tasks-2.svg", "nodes-2.svg"} <= files.keys()
    rows = list(csv.DictReader(io.StringIO(files["figures.csv"])))
    assert rows[0] == {"figure": "policy", "one": "baj3o", "two": "baj3o", "difference": ""}


def test_rows_of_several_kinds_share_a_table() -> None:
    assert as_csv([{"a": 1}, {"b": 'x,"y"'}]) == 'a,b\n1,\n,"x,""y"""\n'
    assert as_csv([]) == "\n"


def test_what_lies_deep_in_a_row_becomes_columns(made: Synthetic) -> None:
    row = flat_row(made.report.measured, of="x")
    assert row["of"] == "x"
    assert row["utilization_by_node.edge-0"] == pytest.approx(27.0 / 90)
    assert row["sent.by_client.client-0.queries"] > 100


def test_a_drawing_of_its_own_has_the_light_colours() -> None:
    svg = '<svg viewBox="0 0 10 20"><path fill="var(--edge)"></path></svg>'
    alone = as_svg(svg, page_css())
    assert 'fill="#d55e00"' in alone
    assert alone.startswith('<svg viewBox="0 0 10 20" width="10" height="20"><style>')
