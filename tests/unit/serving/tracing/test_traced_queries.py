"""What a traced query leaves: spans of door, links, nodes and device, as one tree."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from serving.client.client import Client
from serving.errors import RefusedError
from serving.routing.routes import RouteTable, Target
from serving.tracing.active import active_span, within
from support.kept_spans import KeptSpans
from support.node_fakes import ONLY_EDGE, Routes, hierarchy, image, models
from support.open_door import picture, serve_node

pytestmark = pytest.mark.real_time

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"
ONLY_CLOUD: Routes = {"depth": ((Target("cloud", "cloud", "three"), 1.0),)}
STAGES = ("queue", "batch", "pass")


def ask_once(kept: KeptSpans, routes: Routes, bandwidth: int = 10**9) -> None:
    """One traced query through three nodes."""

    async def scenario() -> None:
        tracing = {name: kept.of_node(name) for name in ("client", "edge", "cloud")}
        spread = hierarchy(models(), bandwidth=bandwidth, tracing=tracing.__getitem__)
        async with spread as (client, servers):
            await client.load(("one",))
            await servers["edge"].load(("two",))
            await servers["cloud"].load(("three",))
            client.route(RouteTable(4, routes))
            span = tracing["client"].begin("query", "", {})
            assert span is not None
            with within(span):
                await client.answer("depth", image(1))
            assert active_span() is None

    asyncio.run(scenario())


def values_of(span: ReadableSpan) -> Mapping[str, object]:
    return dict(span.attributes or {})


def begin_ns(span: ReadableSpan) -> int:
    assert span.start_time is not None
    return span.start_time


def end_ns(span: ReadableSpan) -> int:
    assert span.end_time is not None
    return span.end_time


def test_a_query_to_the_cloud_is_one_tree_over_three_nodes() -> None:
    kept = KeptSpans()
    ask_once(kept, ONLY_CLOUD)
    paths = {kept.path_of(span) for span in kept.all}
    up = "query/link/serve/link/serve"
    assert paths == {
        "query", "query/route", "query/link", "query/link/bandwidth", "query/link/serve",
        "query/link/serve/link", "query/link/serve/link/bandwidth", up,
        *(f"{up}/{stage}" for stage in STAGES),
    }  # fmt: skip
    assert len({span.context.trace_id for span in kept.all}) == 1
    (first,), serves = kept.named("query"), kept.named("serve")
    assert first.kind is SpanKind.SERVER
    assert {span.resource.attributes["service.instance.id"] for span in serves} == {"edge", "cloud"}
    assert values_of(first)["plan_version"] == 4
    assert values_of(first)["answered_by.depth"] == "three on cloud"


def test_parts_lie_within_what_they_are_part_of_and_the_stages_follow_each_other() -> None:
    kept = KeptSpans()
    ask_once(kept, ONLY_EDGE, bandwidth=20_000)
    by_id = {span.context.span_id: span for span in kept.all}
    for span in kept.all:
        if span.parent is not None:
            whole = by_id[span.parent.span_id]
            assert begin_ns(span) >= begin_ns(whole) - 1_000_000, kept.path_of(span)
            assert end_ns(span) <= end_ns(whole) + 1_000_000, kept.path_of(span)
    queue, batch, run = (kept.named(stage)[0] for stage in STAGES)
    assert end_ns(queue) == begin_ns(batch)
    assert end_ns(batch) == begin_ns(run)
    (sent,) = kept.named("bandwidth")
    assert end_ns(sent) - begin_ns(sent) >= (4 * 4 * 3 + 96) / 20_000 * 1e9 * 0.99


def test_a_query_that_nobody_traces_leaves_nothing() -> None:
    async def scenario(kept: KeptSpans) -> None:
        async with hierarchy(models(), tracing=kept.of_node) as (client, servers):
            await servers["edge"].load(("two",))
            client.route(RouteTable(1, ONLY_EDGE))
            await client.answer("depth", image(1))

    kept = KeptSpans()
    asyncio.run(scenario(kept))
    assert kept.all == []


def test_another_way_and_a_refusal_are_said() -> None:
    async def scenario(kept: KeptSpans) -> None:
        tracing = kept.of_node("client")
        async with hierarchy(models(), tracing=lambda _: tracing) as (client, _servers):
            await client.load(("one",))
            client.route(RouteTable(1, ONLY_EDGE))  # whose model is not loaded: another way
            for _ in range(2):
                span = tracing.begin("query", "", {})
                assert span is not None
                with within(span):
                    await client.answer("depth", image(1))
                await client.retire(1, frozenset())

    kept = KeptSpans()
    with pytest.raises(RefusedError):
        asyncio.run(scenario(kept))
    answered, refused = kept.named("query")
    (event,) = answered.events
    assert event.name == "took another way"
    assert dict(event.attributes or {})["answered_by"] == "client"
    assert values_of(refused)["refused"] == "model_not_loaded"
    assert not refused.status.is_ok


@pytest.mark.parametrize(
    ("header", "share", "traced"),
    [
        (SAMPLED, 0.0, True),
        (UNSAMPLED, 1.0, False),
        ("nonsense", 1.0, True),
        ("", 0.4, False),
        ("", 0.6, True),
    ],
)
def test_a_door_traces_what_its_caller_or_its_share_asks_for(
    header: str, share: float, traced: bool
) -> None:
    kept = KeptSpans(share, chance=0.5)
    tracing = kept.of_node("client")
    with serve_node(tracing=tracing) as served, Client(served.url) as client:
        more = {"traceparent": header} if header else {}
        client._http.headers.update(more)
        answer = client.infer("depth", picture())
    assert bool(kept.named("query")) is traced
    assert bool(answer.trace_id) is traced
    if header == SAMPLED:
        assert answer.trace_id == TRACE
        (query,) = kept.named("query")
        assert query.parent is not None
        assert {kept.path_of(span) for span in kept.all} >= {"query/decode", "query/pass"}
