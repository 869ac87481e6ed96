"""`report.html`: whole, well formed, and safe against what names may contain."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cluster.demand import Phase
from cluster.topology import Topology
from planner.plan import Route
from serving.report.examples import Gallery, pick_examples
from serving.report.figures import draw_latency, draw_pairs, draw_stages
from serving.report.html import Page, render_page
from serving.report.placement import build_placement
from serving.report.placement_picture import draw_placement
from serving.report.report import build_report
from serving.report.svg import Scale, element, label
from serving.traffic.summary import summarise
from serving.verdicts.verdict import Held
from support.paths import ROOT
from support.report_page import made_verdict
from support.synthetic_run import (
    BOUNDS_S,
    CERTIFICATE,
    PROVENANCE,
    TASKS,
    Synthetic,
    images,
    summary,
)

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Balance(HTMLParser):
    """Collects unbalanced tags, and everything a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [v for k, v in attrs if k in ("src", "href", "data") and v]
        if tag in ("script", "link", "iframe"):
            self.faults.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")


def paint(task: str, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(array[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def page(made: Synthetic) -> Page:
    return Page(
        made.report,
        made.measurements,
        "demo",
        build_placement(made.topology, made.plan, made.phase, made.profiles),
        pick_examples(made.schedule, made.records, images(24), render=paint),
    )


def test_the_page_is_whole_and_needs_nothing_else(page: Page) -> None:
    text = render_page(page)
    parser = Balance()
    parser.feed(text)
    assert parser.faults == []
    assert parser.open == []
    for source in parser.fetched:
        assert re.match(r"data:(image/png|image/svg\+xml|text/csv)[;,]|#\w+$", source), source[:60]
    assert not re.search(r"url\(|@import|<script", text)
    outside = set(re.findall(r"https?://[^\s\"'<]+", text)) - {"http://www.w3.org/2000/svg"}
    assert outside == set()


def test_the_page_shows_the_numbers_of_the_report(page: Page) -> None:
    text = render_page(page)
    measured = page.report.measured
    assert f"{measured.accuracy:.3f}" in text
    assert f"{measured.queries:,} labelled queries" in text
    for row in page.report.policies or ():
        assert f"{row.accuracy:.3f}" in text
    for task in TASKS:
        assert f"<h3>{task}</h3>" in text
    assert "prefers-color-scheme: dark" in text


def test_a_page_without_the_optional_parts(made: Synthetic) -> None:
    report = build_report(summary(), made.report.measured, CERTIFICATE, PROVENANCE)
    text = render_page(Page(report, made.measurements, "demo"))
    for heading in ("Placement", "Policies", "live loop", "Real answers"):
        assert heading not in text


def test_a_live_run_of_one_phase_has_no_flip(page: Page) -> None:
    live = page.report.live
    assert live is not None
    one = live.model_copy(update={"flip_s": 0.0})
    text = render_page(replace(page, report=page.report.model_copy(update={"live": one})))
    assert "flip" not in text
    assert "whole run" in text


def test_a_run_that_answered_nothing_still_has_a_page(made: Synthetic) -> None:
    shed = made.measurements.select(made.measurements.outcome == "shed")
    report = build_report(summary(), summarise(shed, 90.0, {}), CERTIFICATE, PROVENANCE)
    assert "no query was answered" in render_page(Page(report, shed, "demo"))


def test_a_run_whose_times_do_not_hold_says_so_on_its_page(page: Page) -> None:
    assert "not valid" not in render_page(page)
    measured = page.report.measured.model_copy(
        update={"invalid": "it was late", "late_batch_share_by_node": {"edge-0": 0.02}}
    )
    text = render_page(replace(page, report=page.report.model_copy(update={"measured": measured})))
    assert "The times of this run are not valid: it was late." in text
    assert "batches of edge-0 later than from the device it emulates" in text


def test_names_cannot_break_out_of_the_page(page: Page) -> None:
    text = render_page(replace(page, topology="<script>alert(1)</script>"))
    assert "<script>" not in text
    assert "&lt;b&gt;" in label(0, 0, "<b>")
    assert 'title="&quot;"' in element("g", title='"')


def test_every_figure_is_well_formed(page: Page, made: Synthetic) -> None:
    assert page.placement is not None
    drawn = re.findall(r"<svg.*?</svg>", render_page(page), re.DOTALL)
    assert len(drawn) == 11
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert root.find("{http://www.w3.org/2000/svg}title") is not None
        assert "nan" not in svg


def test_the_scene_accounts_for_every_query(made: Synthetic) -> None:
    placement = build_placement(made.topology, made.plan, made.phase, made.profiles)
    answered = sum(node.answered_qps for node in placement.nodes)
    shed = sum(node.shed_qps for node in placement.nodes)
    assert answered + shed == pytest.approx(made.phase.total_qps)
    clients = {flow.source for flow in placement.flows if flow.target == "edge-0"}
    assert clients == {"client-0", "client-1", "client-2"}
    up = sum(flow.qps for flow in placement.flows if flow.target == "cloud")
    assert up == pytest.approx(placement.tier("cloud")[0].answered_qps)
    edge = placement.tier("edge")[0]
    assert edge.memory_used_bytes == sum(model.resident_bytes for model in edge.models)
    assert [model.name for model in edge.models if not model.qps] == ["rooms-small-keypoints"]


def test_a_client_of_two_edges_has_a_flow_to_each(made: Synthetic) -> None:
    route = Route(client="client-0", task="depth", tier="edge", node="edge-1", model="m", share=0.5)
    by = [
        route.model_copy(update={"tier": "cloud", "node": "cloud", "share": share, "via": via})
        for via, share in (("edge-0", 0.1), ("edge-1", 0.2))
    ]
    plan = made.plan.model_copy(update={"routes": (route, *by)})
    topology = Topology.load(ROOT / "cluster/specs/two-edges.yaml")
    phase = Phase(duration_s=1, rates_qps={"client-0": {"depth": 10.0}})
    flows = build_placement(topology, plan, phase, made.profiles).flows
    assert {(f.source, f.target, f.tier): f.qps for f in flows} == pytest.approx(
        {
            ("client-0", "edge-1", "edge"): 5.0,
            ("client-0", "edge-0", "cloud"): 1.0,
            ("client-0", "edge-1", "cloud"): 2.0,
            ("edge-0", "cloud", "cloud"): 1.0,
            ("edge-1", "cloud", "cloud"): 2.0,
        }
    )


def test_the_picture_names_every_node_and_used_model(made: Synthetic) -> None:
    placement = build_placement(made.topology, made.plan, made.phase, made.profiles)
    svg = draw_placement(placement)
    for node in placement.nodes:
        assert f">{node.name}<" in svg
        for model in node.models:
            assert model.name in svg


def test_many_clients_are_drawn_small(made: Synthetic) -> None:
    placement = build_placement(made.topology, made.plan, made.phase, made.profiles)
    client = placement.tier("client")[0]
    many = tuple(replace(client, name=f"c{k}") for k in range(12))
    others = tuple(node for node in placement.nodes if node.tier != "client")
    svg = draw_placement(replace(placement, nodes=many + others, flows=()))
    assert svg.count(">small-all<") == 0
    assert ">c11<" in svg


def test_latency_and_stages_are_drawn_with_the_promised_bounds(made: Synthetic) -> None:
    svg = draw_latency(made.measurements)
    for bound_s in BOUNDS_S.values():
        assert re.search(rf"promised within [^<]*\b{bound_s * 1e3:.0f}\b[^<]* ms<", svg)
    assert "batch wait" in draw_stages(made.measurements)


def test_a_class_is_drawn_with_its_deadline(made: Synthetic) -> None:
    run = made.measurements.run.model_copy(update={"deadlines_s": {"depth@fast": 0.2}})
    svg = draw_latency(replace(made.measurements, run=run))
    assert "depth@fast: deadline 200 ms" in svg
    assert svg.count('class="deadline"') == 2
    assert "deadline" not in draw_latency(made.measurements)


def test_a_missing_half_of_a_pair_is_shown_as_missing() -> None:
    svg = draw_pairs(["e"], {"e": 0.5}, {}, title="t", axis="a")
    assert "0.500 → –" in svg


@pytest.mark.parametrize(
    ("low", "high", "logarithmic", "ticks"),
    [
        (0.0, 1.0, False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 0.34, False, [0, 0.1, 0.2, 0.3]),
        (15.0, 1200.0, True, [20, 50, 100, 200, 500, 1000]),
        (1.0, 1.0, False, [1.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, logarithmic: bool, ticks: list[float]) -> None:
    assert Scale(low, high, 0, 100, logarithmic).ticks() == pytest.approx(ticks)


def test_examples_are_taken_by_rank(made: Synthetic, tmp_path: Path) -> None:
    gallery = pick_examples(made.schedule, made.records, images(24), render=paint)
    assert set(gallery.tasks) == set(TASKS)
    for task in TASKS:
        scores = [example.score for example in gallery.examples if example.task == task]
        assert len(scores) == 3
        assert scores == sorted(scores)
    assert Gallery.load(gallery.save(tmp_path / "gallery.json")) == gallery


def test_a_task_with_one_answer_gives_one_example(made: Synthetic) -> None:
    one = next(r for r in made.records if r.answer.prediction is not None)
    gallery = pick_examples(made.schedule, [one], images(24), render=paint)
    assert len(gallery.examples) == 1
    assert pick_examples(made.schedule, [], images(24), render=paint).examples == ()


def test_the_page_says_how_uneven_the_traffic_was(page: Page) -> None:
    text = render_page(page)
    section = text.split("<h2>What was sent</h2>")[1].split("</section>")[0]
    sent = page.report.measured.sent
    assert sent is not None
    assert sent.total.dispersion_1s is not None
    assert f'<td class="n">{sent.total.dispersion_1s:.3g}</td>' in section
    for client, row in sent.by_client.items():
        assert f'<td>{client}</td><td class="n">{row.rate_qps:.3g}</td>' in section
    scaled = sent.model_copy(update={"replayed": ("a trace & more, thinned",)})
    measured = page.report.measured.model_copy(update={"sent": scaled})
    report = page.report.model_copy(update={"measured": measured})
    assert "Replayed: a trace &amp; more, thinned." in render_page(replace(page, report=report))
    old = page.report.model_copy(update={"measured": measured.model_copy(update={"sent": None})})
    assert "What was sent" not in render_page(replace(page, report=old))


def test_a_page_says_which_predictions_held_and_why_one_failed(page: Page) -> None:
    assert "Did the predictions hold?" not in render_page(page)
    verdicts = (
        made_verdict("client-0", 0.31, Held.NO, "interference: <busy>"),
        made_verdict("edge-0", 0.01, Held.YES, ""),
    )
    report = page.report.model_copy(update={"verdicts": verdicts})
    text = render_page(replace(page, report=report))
    assert "Did the predictions hold?" in text
    assert "1 of 2" in text
    assert "interference: &lt;busy&gt;" in text
    assert "batch latency: all 2" in text
    assert text.count("+31.0%") == 2  # as the worst, and among all
