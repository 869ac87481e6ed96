"""docs/nodes.md: its reasons are the code's, and its examples come out as it says."""

from __future__ import annotations

import re
from math import inf

import pytest

from cluster.topology import Batching
from planner.plan import Plan, Route
from serving.errors import RefusalReason
from serving.node.device.admission import find_refusal
from serving.node.device.batching import Batcher, make_batcher
from serving.rollout.stages import MemoryBudgets, Stage, plan_rollout, route_tables
from support.paths import ROOT

PAGE = (ROOT / "docs" / "nodes.md").read_text(encoding="utf-8")
MB = 1_000_000


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below `heading`."""
    rows = re.search(r"(?:^\|.*\n)+", PAGE.split(f"\n{heading}")[1], re.MULTILINE)
    assert rows is not None
    return [
        [cell.strip() for cell in line.removesuffix("|").split("|")[1:]]
        for line in rows[0].splitlines()[2:]
    ]


def kind_of(reason: RefusalReason) -> str:
    return "fault" if reason.is_fault else "full" if reason.is_full else "decision"


def test_the_reasons_are_those_of_the_code_word_for_word() -> None:
    stated = [tuple(row) for row in table("## Why a query is refused")]
    assert stated == [(f"`{r.value}`", r.sentence, kind_of(r)) for r in RefusalReason]


@pytest.mark.parametrize("page", ["protocol", "metrics"])
def test_the_other_pages_point_at_the_table_of_reasons(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert "nodes.md#why-a-query-is-refused" in text


def waiting_queries(now_s: float) -> Batcher[object]:
    """Six of `small`, four of `large`, on the example's edge, which knows what batches take."""
    batcher: Batcher[object] = make_batcher(Batching.GREEDY, 0.1, 8)
    for size in (1, 8):
        batcher.latency_model.learn("small", size, 0.010 + 0.005 * size)
        batcher.latency_model.learn("large", size, 0.030 + 0.010 * size)
    for model, count, waited_s in (("small", 6, 0.04), ("large", 4, 0.03)):
        for _ in range(count):
            batcher.push(model, object(), now_s - waited_s)
    return batcher


@pytest.mark.parametrize("row", range(4))
def test_the_example_of_admission_comes_out_as_stated(row: int) -> None:
    free, query, done, longest, decision = table("**An example.** An edge with `greedy`")[row]
    now_s = 10.0
    model = re.findall(r"`(\w+)`", query)[0]
    deadline = re.search(r"deadline in (\d+) ms", query)
    deadline_s = now_s + int(deadline[1]) / 1e3 if deadline else inf
    free_s = now_s + milliseconds(free)
    batcher = waiting_queries(now_s)
    forecast = batcher.forecast(model, now_s, free_s)
    assert forecast.done_s - now_s == pytest.approx(milliseconds(done), abs=5e-4)
    assert 0.170 + forecast.excess_s == pytest.approx(milliseconds(longest), abs=5e-4)
    refusal = find_refusal(batcher, model, now_s, free_s, deadline_s)
    if refusal is None:
        assert decision == "admitted"
    else:
        assert decision.startswith(f"refused, `{refusal.reason}`")
        room = re.search(r"room again in (\d+) ms", decision)
        assert (room is not None) == refusal.reason.passes_soon
        if room is not None:
            assert refusal.retry_after_s == pytest.approx(int(room[1]) / 1e3, abs=5e-4)


def milliseconds(cell: str) -> float:
    """Seconds in a cell such as `55 ms`."""
    return int(cell.removesuffix(" ms")) / 1e3


def plan_with(model: str, share: float) -> Plan:
    """The plan whose edge serves segmentation with `model` to `share`, the cloud the rest."""
    keys = ("task", "tier", "node", "model", "share")
    ways = (
        ("segmentation", "edge", "edge-0", model, share),
        ("segmentation", "cloud", "cloud", "big", 1 - share),
        ("depth", "edge", "edge-0", "depth", 1.0),
    )
    routes = ({"client": "client-0", **dict(zip(keys, way, strict=True))} for way in ways)
    return Plan(
        problem_digest="d",
        policy="p",
        onloading={"edge-0": (model, "depth"), "cloud": ("big",)},
        routes=tuple(Route.model_validate(route) for route in routes),
    )


def stages_with(edge_mb: int) -> tuple[Stage, ...]:
    sizes = {("edge-0", "seg-a"): 12, ("edge-0", "seg-b"): 10, ("edge-0", "depth"): 6}
    model_bytes = {pair: size * MB for pair, size in {**sizes, ("cloud", "big"): 40}.items()}
    memory_bytes = {"client-0": 0, "edge-0": edge_mb * MB, "cloud": 100 * MB}
    held = {"client-0": (), "edge-0": ("seg-a", "depth"), "cloud": ("big",)}
    return plan_rollout(
        plan_with("seg-b", 0.9),
        2,
        route_tables(plan_with("seg-a", 0.7), 1, ("client-0",)),
        {node: frozenset(models) for node, models in held.items()},
        MemoryBudgets(model_bytes, memory_bytes),
        {"client-0": [("client", "client-0"), ("edge", "edge-0"), ("cloud", "cloud")]},
        {},
    )


def test_the_example_of_a_crowded_node_takes_the_stages_that_are_stated() -> None:
    stated = table("**An example.** `edge-0` has 20 MB")[1:]
    stages = stages_with(20)
    assert [row[0] for row in stated] == [str(k + 1) for k in range(len(stages))]
    held = {"seg-a", "depth"}
    for (_, loads, routes, unloads, then), stage in zip(stated, stages, strict=True):
        held |= set(stage.load["edge-0"])
        assert words(loads) == set(stage.load["edge-0"])
        targets = stage.routes["client-0"].routes["segmentation"]
        assert routes == ", ".join(f"{share:.0%} `{t.model}`" for t, share in targets).replace(
            "%", " %"
        )
        assert words(unloads) == held - stage.keep["edge-0"]
        held = set(stage.keep["edge-0"])
        assert words(then) == held


def test_with_more_memory_the_last_stage_is_enough() -> None:
    (only,) = stages_with(30)
    last = stages_with(20)[-1]
    assert only.load == last.load
    assert only.keep == last.keep
    assert only.routes["client-0"].routes == last.routes["client-0"].routes


def words(cell: str) -> set[str]:
    return set(re.findall(r"`([\w-]+)`", cell))
