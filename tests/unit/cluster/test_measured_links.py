"""links.json: what was measured of links, and whether it is of the topology that is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.errors import InputError
from cluster.measured_links import MeasuredLink, MeasuredLinks, with_links
from cluster.specs import SPECS
from cluster.topology import Topology

DEMO = Topology.load(SPECS / "demo.yaml")


def measured(**changed: Any) -> MeasuredLinks:
    links = tuple(
        MeasuredLink(
            source=link.source, target=link.target, bytes_per_s=100_000.0, rtt_s=0.05,
            stated_bytes_per_s=link.bytes_per_s, stated_rtt_s=link.rtt_s,
        )
        for link in DEMO.links
    )  # fmt: skip
    first = links[0].model_copy(update=changed)
    return MeasuredLinks(topology="demo", links=(first, *links[1:]))


def test_a_topology_takes_on_what_was_measured(tmp_path: Path) -> None:
    file = measured().save(tmp_path / "links.json")
    found = with_links(DEMO, MeasuredLinks.load(file).found(DEMO))
    assert {link.bytes_per_s for link in found.links} == {100_000.0}
    assert {link.rtt_s for link in found.links} == {0.05}
    assert [link.budget_share for link in found.links] == [link.budget_share for link in DEMO.links]
    assert with_links(DEMO, {}) == DEMO


def test_links_that_were_not_measured_cannot_be_planned_with() -> None:
    with pytest.raises(InputError, match="client-0 to edge-0 was not measured: it is cut"):
        measured(bytes_per_s=None, fault="it is cut").found(DEMO)
    with pytest.raises(InputError, match="edge-0 to cloud was not measured: it is not in the"):
        MeasuredLinks(topology="demo", links=measured().links[:-1]).found(DEMO)
    with pytest.raises(InputError, match="measured on the topology 'other', not on 'demo'"):
        MeasuredLinks(topology="other", links=measured().links).found(DEMO)
