"""What happens while a system is driven: links are cut, nodes killed, devices lost, loads scaled.

A timeline stands in the demand file, so that a run and its simulation meet the same events:

    timeline:
      - {at_s: 20, cut_link: [client-1, edge-0]}
      - {at_s: 30, restore_link: [client-1, edge-0]}
      - {at_s: 40, scale_load: {client: client-0, factor: 3}}
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from cluster.document import FrozenModel
from cluster.errors import InputError
from cluster.topology import Topology

__all__ = [
    "ClockJump", "Controller", "LinkEnds", "LinkSlowdown", "LoadScale", "NodeSlowdown",
    "TimelineEvent", "check_order", "check_timeline", "nearest",
]  # fmt: skip

LinkEnds = tuple[str, str]
"""source, target: the way up"""
Slower = Annotated[float, Field(ge=1)]


class LinkSlowdown(FrozenModel):
    """A link that takes several times as long to carry a byte."""

    link: LinkEnds
    factor: Slower = Field(description="bandwidth is divided by it; 1 is as fast as ever")


class NodeSlowdown(FrozenModel):
    """A straggler: a node that computes, but several times slower."""

    node: str
    factor: Slower = Field(description="of the time that a batch takes; 1 is as fast as ever")


class ClockJump(FrozenModel):
    """The wall clock of a node is set: forward, or back where `by_s` is negative."""

    node: str
    by_s: float = Field(ge=-1e9, le=1e9, description="seconds, not 0, and thirty years at most")

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if self.by_s == 0:
            raise ValueError("expected another `by_s` than 0")
        return self


class Controller(StrEnum):
    """What looks after nodes and plans; no query passes through any of them."""

    SERVE = "serve"
    """Ray Serve's controller, which starts nodes anew"""
    STORE = "store"
    """the store of assignments, which has what each node was told"""
    LOOP = "loop"
    """the live loop (`testbed live`)"""


class LoadScale(FrozenModel):
    """The rates of a client from this moment on, until the next event of the kind."""

    client: str
    factor: float = Field(ge=0, description="of the rates of the demand; 1 is as stated")


class TimelineEvent(FrozenModel):
    """One thing that happens at `at_s` seconds from the start of the traffic."""

    at_s: float = Field(ge=0)
    cut_link: LinkEnds | None = Field(default=None, description="nothing crosses it any more")
    silence_link: LinkEnds | None = Field(
        default=None, description="half-open: what is sent vanishes, and no connection closes"
    )
    restore_link: LinkEnds | None = Field(default=None, description="as the topology has it")
    slow_link: LinkSlowdown | None = None
    kill_node: str | None = Field(default=None, description="its process ends (SIGKILL)")
    stop_node: str | None = Field(default=None, description="it stands still (SIGSTOP)")
    resume_node: str | None = Field(default=None, description="it goes on (SIGCONT)")
    slow_node: NodeSlowdown | None = None
    lose_device: str | None = Field(
        default=None, description="every batch of the node fails, and every load of a model"
    )
    restore_device: str | None = Field(default=None, description="the device is there again")
    jump_clock: ClockJump | None = None
    kill_controller: Controller | None = Field(default=None, description="its process ends")
    scale_load: LoadScale | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if len(self._stated) != 1:
            kinds = ", ".join(name for name in type(self).model_fields if name != "at_s")
            raise ValueError(f"expected one event beside `at_s`, of {kinds}")
        return self

    @property
    def _stated(self) -> list[str]:
        names = (name for name in type(self).model_fields if name != "at_s")
        return [name for name in names if getattr(self, name) is not None]

    @property
    def name(self) -> str:
        """Which event it is."""
        return self._stated[0]

    @property
    def link(self) -> LinkEnds | None:
        """The link that it is about, if any."""
        slowed = self.slow_link.link if self.slow_link else None
        return self.cut_link or self.silence_link or self.restore_link or slowed

    @property
    def node(self) -> str | None:
        """The node that it is about, if any."""
        named = self.kill_node or self.stop_node or self.resume_node
        named = named or self.lose_device or self.restore_device
        about = self.slow_node or self.jump_clock
        return about.node if about else named

    def __str__(self) -> str:
        what = " to ".join(self.link) if self.link else self.node or self.kill_controller
        if self.scale_load is not None:
            what = self.scale_load.client
        return f"{self.name} {what}{self._by} at {self.at_s:g} s"

    @property
    def _by(self) -> str:
        if self.jump_clock is not None:
            return f" by {self.jump_clock.by_s:+g} s"
        scaled = self.slow_link or self.slow_node or self.scale_load
        return f" by {scaled.factor:g}" if scaled else ""


def check_order(timeline: Sequence[TimelineEvent], duration_s: float) -> None:
    """Raises `ValueError` for a timeline that goes backwards or goes on after the traffic."""
    last_s = 0.0
    for position, event in enumerate(timeline):
        if event.at_s < last_s:
            raise ValueError(
                f"timeline.{position}: goes backwards, to {event.at_s:g} s after {last_s:g} s; "
                "sort the events by `at_s`"
            )
        if event.at_s >= duration_s:
            raise ValueError(
                f"timeline.{position}: {event} comes after the end of the traffic at "
                f"{duration_s:g} s"
            )
        last_s = event.at_s


def check_timeline(timeline: Sequence[TimelineEvent], topology: Topology) -> None:
    """Raises `InputError` for an event of a node or link that `topology` does not have."""
    nodes = [node.name for node in topology.nodes]
    links = [link.name for link in topology.links]
    clients = [node.name for node in topology.clients]
    for position, event in enumerate(timeline):
        where = f"timeline.{position}.{event.name}"
        if event.node is not None and event.node not in nodes:
            raise InputError(
                f"{where}: no node is named {event.node!r}{nearest(event.node, nodes)}"
            )
        if event.link is not None and (stated := " to ".join(event.link)) not in links:
            raise InputError(f"{where}: no link leads from {stated}{nearest(stated, links)}")
        load = event.scale_load
        if load is not None and load.client not in clients:
            raise InputError(
                f"{where}: no client is named {load.client!r}{nearest(load.client, clients)}"
            )


def nearest(name: str, names: Collection[str]) -> str:
    """'; did you mean X?', or which names there are."""
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else f"; there are {', '.join(names)}"
