"""What may be done from the page: each act with its arguments, and whether it is offered.

Acts on nodes and links are those of a demand's timeline. Whoever carries them out is behind
`WatchActs`; the server knows neither fleet nor loop.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Protocol, Self

from pydantic import Field, model_validator

from cluster.document import FrozenModel
from cluster.errors import InputError
from cluster.timeline import nearest
from cluster.topology import Topology

__all__ = ["READ_ONLY", "Act", "ActName", "NoActs", "Offer", "WatchActs", "check_act"]

MOST_FACTOR = 10.0


class ActName(StrEnum):
    """The acts that there are."""

    PAUSE = "pause"
    RESUME = "resume"
    PLAN_NOW = "plan_now"
    KILL_NODE = "kill_node"
    STOP_NODE = "stop_node"
    RESUME_NODE = "resume_node"
    LOSE_DEVICE = "lose_device"
    RESTORE_DEVICE = "restore_device"
    CUT_LINK = "cut_link"
    SLOW_LINK = "slow_link"
    RESTORE_LINK = "restore_link"
    SCALE_LOAD = "scale_load"


OF_NODES = frozenset(
    {ActName.KILL_NODE, ActName.STOP_NODE, ActName.RESUME_NODE, ActName.LOSE_DEVICE,
     ActName.RESTORE_DEVICE}
)  # fmt: skip
OF_LINKS = frozenset({ActName.CUT_LINK, ActName.SLOW_LINK, ActName.RESTORE_LINK})


class Act(FrozenModel):
    """One act. A node, link or client it is about is named, and nothing else."""

    name: ActName
    node: str | None = None
    link: tuple[str, str] | None = Field(default=None, description="source, target: the way up")
    client: str | None = None
    factor: float | None = Field(
        default=None,
        ge=0,
        le=1e6,
        description="of a link's time per byte, at least 1; of a client's load, at most 10",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        wanted = {"node": self.name in OF_NODES, "link": self.name in OF_LINKS,
                  "client": self.name is ActName.SCALE_LOAD,
                  "factor": self.name in (ActName.SLOW_LINK, ActName.SCALE_LOAD)}  # fmt: skip
        for key, needed in wanted.items():
            if needed != (getattr(self, key) is not None):
                raise ValueError(f"{self.name} {'needs a' if needed else 'takes no'} {key}")
        if self.name is ActName.SLOW_LINK and (self.factor or 0.0) < 1:
            raise ValueError("slow_link needs a factor of at least 1")
        if self.name is ActName.SCALE_LOAD and (self.factor or 0.0) > MOST_FACTOR:
            raise ValueError(f"scale_load takes a factor of at most {MOST_FACTOR:g}")
        return self

    def __str__(self) -> str:
        about = " to ".join(self.link) if self.link else self.node or self.client or ""
        by = "" if self.factor is None else f" by {self.factor:g}"
        return f"{self.name.value.replace('_', ' ')} {about}{by}".rstrip()


class Offer(FrozenModel):
    """An act that the page has a button for."""

    name: ActName
    why_not: str = Field(default="", description="nothing where it is offered")


class WatchActs(Protocol):
    """Who carries acts out."""

    def offers(self) -> tuple[Offer, ...]:
        """Every act, and why those are not offered that are not."""
        ...

    async def act(self, act: Act) -> str:
        """Carry `act` out, which is offered and about what is there; says what was done. Raises
        `InputError` or `ServingError` where it cannot be."""
        ...


class NoActs:
    """Nothing can be done: a recording, or a page for a beamer."""

    def __init__(self, why_not: str) -> None:
        self._why_not = why_not

    def offers(self) -> tuple[Offer, ...]:
        """See `WatchActs`."""
        return tuple(Offer(name=name, why_not=self._why_not) for name in ActName)

    async def act(self, act: Act) -> str:
        """See `WatchActs`."""
        raise InputError(self._why_not)


READ_ONLY = "this page was opened with --read-only"


def check_act(act: Act, offers: Collection[Offer], topology: Topology) -> None:
    """Raises `InputError` for an act that is not offered, or about what `topology` lacks."""
    for offer in offers:
        if offer.name is act.name and offer.why_not:
            raise InputError(f"{act.name.value.replace('_', ' ')} is not offered: {offer.why_not}")
    nodes = [node.name for node in topology.nodes]
    clients = [node.name for node in topology.clients]
    links = [link.name for link in topology.links]
    if act.node is not None and act.node not in nodes:
        raise InputError(f"no node is named {act.node!r}{nearest(act.node, nodes)}")
    if act.client is not None and act.client not in clients:
        raise InputError(f"no client is named {act.client!r}{nearest(act.client, clients)}")
    if act.link is not None and (told := " to ".join(act.link)) not in links:
        raise InputError(f"no link leads from {told}{nearest(told, links)}")
