"""What clients ask of the same image, as the loop sees it (F14)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.replan.estimate.arrival_counts import ArrivalCounts, NewQueries
from serving.replan.estimate.asked_together import MEMORY_S, AskedTogether
from serving.replan.estimate.load_estimate import LoadEstimator
from support.replan_cases import snapshot


def look(together: dict[str, int], **queries: int) -> NewQueries:
    return NewQueries(1.0, queries, together)


def test_what_is_asked_together_is_a_part_of_what_is_asked() -> None:
    """Of twelve queries for depth and eight for edges six images are asked both."""
    known = AskedTogether().after(look({"depth+edges": 6}, depth=12, edges=8))
    assert known.bundles_qps({"depth": 12.0, "edges": 8.0}) == {"depth+edges": 6.0}
    # Half of the rate for depth is asked with edges, and three quarters of that for edges.
    assert known.bundles_qps({"depth": 20.0, "edges": 8.0}) == {"depth+edges": 6.0}
    assert known.bundles_qps({"depth": 6.0, "edges": 8.0}) == {"depth+edges": 3.0}
    assert known.bundles_qps({"depth": 6.0}) == {}


def test_who_asks_each_task_of_an_image_of_its_own_is_known_to_ask_nothing_together() -> None:
    known = AskedTogether()
    assert known.after(look({}, depth=12)) is known
    assert known.bundles_qps({"depth": 12.0}) == {}


def test_it_is_forgotten_when_it_ends() -> None:
    known = AskedTogether().after(look({"depth+edges": 10}, depth=10, edges=10))
    rates = {"depth": 10.0, "edges": 10.0}
    for _ in range(round(MEMORY_S)):
        known = known.after(look({}, depth=10, edges=10))
    assert known.bundles_qps(rates)["depth+edges"] < 0.5
    for _ in range(round(4 * MEMORY_S)):
        known = known.after(look({}, depth=10, edges=10))
    assert known.bundles_qps(rates) == {}


@given(
    looks=st.lists(
        st.tuples(*[st.integers(0, 40)] * 3, *[st.integers(0, 9)] * 3), min_size=1, max_size=6
    ),
    rates=st.tuples(*[st.floats(0.0, 100.0)] * 3),
)
def test_no_task_is_asked_more_often_in_bundles_than_in_all(
    looks: list[tuple[int, ...]], rates: tuple[float, ...]
) -> None:
    known = AskedTogether()
    for ab, bc, abc, *alone in looks:
        queries = dict(zip("abc", (ab + abc, ab + bc + abc, bc + abc), strict=True))
        queries = {task: n + m for (task, n), m in zip(queries.items(), alone, strict=True)}
        known = known.after(NewQueries(1.0, queries, {"a+b": ab, "b+c": bc, "a+b+c": abc}))
    rates_qps = dict(zip("abc", rates, strict=True))
    bundles = known.bundles_qps(rates_qps)
    for task, rate in rates_qps.items():
        assert sum(qps for name, qps in bundles.items() if task in name) <= rate * (1 + 1e-9)


def test_requests_of_a_node_that_was_started_anew_are_all_new() -> None:
    counts = ArrivalCounts(("depth", "edges"))

    def seen(at_s: float, requests: int) -> dict[str, object]:
        shown = snapshot("c", at_s, depth=requests, edges=requests)
        return {"c": replace(shown, together={"depth+edges": requests} if requests else {})}

    counts.update(seen(0.0, 50))  # type: ignore[arg-type]
    for at_s, requests, new in ((1.0, 58, 8), (2.0, 3, 3), (3.0, 3, 0)):
        found = counts.update(seen(at_s, requests))["c"]  # type: ignore[arg-type]
        assert found.together == ({"depth+edges": new} if new else {})


def test_an_estimate_has_it_beside_the_rates() -> None:
    load = LoadEstimator(("depth", "edges"))
    found = None
    for second in range(8):
        shown = snapshot("c", float(second), depth=12 * second, edges=8 * second)
        found = load.update({"c": replace(shown, together={"depth+edges": 6 * second})})
    assert found is not None
    assert found.bundles_qps["c"]["depth+edges"] == pytest.approx(6.0, rel=0.05)
    assert found.rates_qps["c"]["depth"] == pytest.approx(12.0, rel=0.05)
    (bundle,) = found.phase().bundles
    assert (bundle.client, bundle.name) == ("c", "depth+edges")
    assert bundle.qps == found.bundles_qps["c"]["depth+edges"]
    for task, rate in found.rates_qps["c"].items():
        assert found.phase().rates_qps["c"][task] + bundle.qps == pytest.approx(rate)
