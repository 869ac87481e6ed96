"""Documents: what a copy works out belongs to its own fields, and what is wrong with a value."""

from __future__ import annotations

import re
from functools import cached_property

import pytest

from cluster.demand import Demand
from cluster.document import DocumentError, FrozenModel
from cluster.specs import SPECS
from cluster.topology import Topology


class Doubled(FrozenModel):
    """A value with one that is worked out from it."""

    value: int

    @cached_property
    def twice(self) -> int:
        return 2 * self.value


def test_a_copy_works_out_anew_what_follows_from_its_fields() -> None:
    first = Doubled(value=3)
    assert first.twice == 6
    assert first.model_copy(update={"value": 5}).twice == 10
    assert first.model_copy().twice == 6
    assert first.twice == 6


def test_the_edges_of_a_changed_topology_are_the_changed_ones() -> None:
    topology = Topology.load(SPECS / "demo.yaml")
    quick = tuple(node.model_copy(update={"window_s": 0.02}) for node in topology.nodes)
    assert [edge.window_s for edge in topology.edges] == [0.4]
    changed = topology.model_copy(update={"nodes": quick})
    assert [edge.window_s for edge in changed.edges] == [0.02]


@pytest.mark.parametrize(
    ("timeline", "told"),
    [
        (None, "timeline: expected a list (got None)"),
        ([5], "timeline.0: expected a mapping of keys (got 5)"),
        ([{"at_s": 5, "cut_link": "client-0"}], "cut_link: expected a list (got 'client-0')"),
        ([{"at_s": 5, "cut_link": ["client-0"]}], "cut_link.1: missing; expected a longer list"),
    ],
)
def test_a_value_of_another_kind_is_told_in_words_of_its_file(timeline: object, told: str) -> None:
    phase = {"duration_s": 1.0, "rates_qps": {"client-0": {"depth": 1.0}}}
    data = {"name": "d", "phases": [phase], "timeline": timeline}
    with pytest.raises(DocumentError, match=re.escape(told)):
        Demand.parse(data)
