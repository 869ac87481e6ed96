"""Copies of frozen documents: what is worked out from fields belongs to the copy's own fields."""

from __future__ import annotations

from functools import cached_property

from cluster.document import FrozenModel
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
