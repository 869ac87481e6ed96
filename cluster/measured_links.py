"""`links.json`: what the links of a running cluster were measured to be, beside what was stated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from cluster.document import Document, FrozenModel
from cluster.errors import InputError
from cluster.link import Link, Name, link_name
from cluster.provenance import Provenance
from cluster.topology import Topology

__all__ = ["LinkFigures", "MeasuredLink", "MeasuredLinks", "with_links"]


class LinkFigures(FrozenModel):
    """What is planned with of one link, where that is not what the topology says."""

    bytes_per_s: float = Field(gt=0)
    rtt_s: float = Field(ge=0, le=60)


class MeasuredLink(FrozenModel):
    """One link, as it was found; where nothing came back over it, `fault` says why."""

    source: Name
    target: Name
    bytes_per_s: float | None = Field(default=None, gt=0, description="of all that went over it")
    rtt_s: float | None = Field(default=None, ge=0)
    stated_bytes_per_s: float = Field(gt=0, description="of the topology; of a trace, the mean")
    stated_rtt_s: float = Field(ge=0)
    probe_bytes: int = Field(default=0, ge=0, description="that were sent to measure it")
    traffic_bytes: int = Field(default=0, ge=0, description="of queries, beside them")
    condition: str | None = Field(default=None, description="what it was set to, if it was")
    fault: str | None = None

    @property
    def name(self) -> str:
        """As of the link."""
        return link_name(self.source, self.target)


class MeasuredLinks(Document):
    """The file. Raises `DocumentError` when loaded from one that is none."""

    made_by: ClassVar[str] = "`testbed net check` makes one"

    topology: str
    links: tuple[MeasuredLink, ...]
    provenance: Provenance | None = None

    def found(self, topology: Topology) -> dict[str, LinkFigures]:
        """What was measured of every link of `topology`, by its name.

        Raises `InputError` for links of another topology, and for one that was not measured.
        """
        if self.topology != topology.name:
            raise InputError(
                f"measured on the topology {self.topology!r}, not on {topology.name!r}; `testbed "
                "net check` measures the links of the cluster that is up"
            )
        measured = {link.name: link for link in self.links}
        found: dict[str, LinkFigures] = {}
        for link in topology.links:
            own = measured.get(link.name)
            why = "it is not in the file" if own is None else own.fault
            if own is None or own.bytes_per_s is None:
                raise InputError(
                    f"the link {link.name} was not measured: {why or 'nothing came back'}; "
                    "`testbed link list` says what links are set to, `testbed net check` measures "
                    "them"
                )
            rtt_s = link.rtt_s if own.rtt_s is None else min(own.rtt_s, 60.0)
            found[link.name] = LinkFigures(bytes_per_s=own.bytes_per_s, rtt_s=rtt_s)
        return found


def with_links(topology: Topology, links: Mapping[str, LinkFigures]) -> Topology:
    """`topology` with bandwidths and round trips of `links`, by name; others stay."""

    def as_measured(link: Link) -> Link:
        own = links.get(link.name)
        if own is None:
            return link
        return link.carrying(own.bytes_per_s).model_copy(update={"rtt_s": own.rtt_s})

    return topology.model_copy(update={"links": tuple(map(as_measured, topology.links))})
