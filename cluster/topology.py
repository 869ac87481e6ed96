"""The hierarchy: nodes with their budgets, links with theirs, and who reaches whom.

Symbols of `docs/formulation.md`: `memory` is mu_n, `compute` is beta_n, `window_s` is T_b,
a link's `bandwidth` times its `budget_share` is kappa.
"""

from __future__ import annotations

import difflib
from collections import Counter
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

from pydantic import ByteSize, Field, model_validator

from cluster.devices import NOTHING, Device, EmulatedDevice
from cluster.document import Document, DocumentError, FrozenModel
from cluster.errors import UnknownNameError
from cluster.link import Link, Name, link_name
from cluster.provider_choice import ProviderChoice

__all__ = ["Batching", "Link", "Node", "Tier", "Topology", "link_name"]

LEAST_MEMORY_BYTES = 2**10
LEAST_BANDWIDTH = 1_000
"""Below that, a number of bytes is rather one whose unit was forgotten."""


class Tier(StrEnum):
    """Where a node stands in the hierarchy."""

    CLIENT = "client"
    EDGE = "edge"
    CLOUD = "cloud"


class Batching(StrEnum):
    """How a node's executor releases batches: gated windows of T_b, or whenever it is free."""

    WINDOW = "window"
    GREEDY = "greedy"


class Node(FrozenModel):
    """One serving machine (or its share of one) and its budgets."""

    name: Name
    tier: Tier
    device: Device = "cpu"
    memory: ByteSize = Field(gt=0, description="budget mu_n for resident models, e.g. 64MiB")
    compute: float = Field(gt=0, le=1, description="budget beta_n, busy seconds per second")
    window_s: float = Field(gt=0, le=3600, description="T_b; also sets the promised latency, 2 T_b")
    batching: Batching = Batching.GREEDY
    max_batch: int = Field(default=32, ge=1, le=1024)
    threads: int = Field(default=1, ge=1, le=1024, description="host threads of one forward pass")

    @property
    def emulated(self) -> EmulatedDevice | None:
        """What the node's host emulates; None where the node computes in the host's own time."""
        return self.device if isinstance(self.device, EmulatedDevice) else None

    @property
    def host_device(self) -> str:
        """What computes: "cpu" or "cuda:k" of the node's host, `NOTHING` on a null node."""
        return self.device.on if isinstance(self.device, EmulatedDevice) else self.device

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""
        return self.host_device.startswith("cuda:")

    @property
    def is_null(self) -> bool:
        """Whether it computes nothing, and answers zeros at the time of the device it emulates."""
        return self.host_device == NOTHING

    @property
    def host_share(self) -> float:
        """Seconds that the host computes in a second of the device, as far as the topology says:
        of a published device that shows only when it is profiled, and counts as none."""
        return self.emulated.host_share if self.emulated else 1.0


class Topology(Document):
    """A whole hierarchy. Raises `DocumentError` when loaded from a file that is not one."""

    made_by: ClassVar[str] = "docs/formats.md says what stands in it; cluster/specs has some"

    name: Name
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    provider: ProviderChoice | None = None
    """what brings the cluster up; None for whatever `testbed up` takes unless it is told"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [node.name for node in self.nodes]
        for name, times in Counter(names).items():
            if times > 1:
                raise ValueError(f"node name {name!r} is used twice")
        for position, link in enumerate(self.links):
            for end in (link.source, link.target):
                if end not in self._index:
                    near = difflib.get_close_matches(end, names, n=1, cutoff=0.4)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise ValueError(f"links.{position}: no node is named {end!r}{hint}")
        if len(self.clouds) != 1:
            raise ValueError(f"expected exactly one node of tier cloud, found {len(self.clouds)}")
        self._check_units()
        if not self.clients:
            raise ValueError("expected a node of tier client; queries begin there")
        for position, link in enumerate(self.links):
            self._check_direction(position, link)
        for node in self.clients:
            self._check_uplinks(node, Tier.EDGE, "at least one link, each to its own")
        for node in self.edges:
            self._check_uplinks(node, Tier.CLOUD, "exactly one link to a")
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read `path` and the traces that it names. Raises `DocumentError` for a fault of any."""
        found = super().load(path)
        if all(link.trace is None for link in found.links):
            return found
        folder = Path(path).absolute().parent
        links = tuple(
            link.model_copy(update={"trace": link.trace.relative_to(folder)})
            if link.trace is not None
            else link
            for link in found.links
        )
        return found.model_copy(update={"links": links}).with_traces_read(f"{path}: ")

    def with_traces_read(self, where: str = "") -> Self:
        """This topology, whose links know what was recorded of them, also where they are sent to:
        another process need not have the files. Raises `DocumentError`, after `where`."""
        for position, link in enumerate(self.links):
            try:
                _ = link.recorded
            except DocumentError as error:
                raise DocumentError(f"{where}links.{position}.trace: {error}") from None
        return self

    def _check_units(self) -> None:
        for position, node in enumerate(self.nodes):
            if node.memory < LEAST_MEMORY_BYTES:
                raise ValueError(
                    f"nodes.{position}.memory: expected bytes with their unit, such as 64MiB; no "
                    f"model is as small as {int(node.memory)} bytes"
                )
        for position, link in enumerate(self.links):
            if link.bandwidth is not None and link.bandwidth < LEAST_BANDWIDTH:
                raise ValueError(
                    f"links.{position}.bandwidth: expected bytes a second with their unit, such as "
                    f"2.5MB, not {int(link.bandwidth)}"
                )

    def _check_direction(self, position: int, link: Link) -> None:
        ends = self.node(link.source).tier, self.node(link.target).tier
        if ends not in ((Tier.CLIENT, Tier.EDGE), (Tier.EDGE, Tier.CLOUD)):
            raise ValueError(
                f"links.{position}: {link.name} goes from {ends[0]} to {ends[1]}; links go up, "
                "from client to edge or from edge to cloud, and answers come back over them"
            )

    def _check_uplinks(self, node: Node, target_tier: Tier, wanted: str) -> None:
        targets = [link.target for link in self.uplinks(node.name)]
        counted = len(targets) == 1 or (node.tier is Tier.CLIENT and len(targets) > 0)
        if not (counted and len(set(targets)) == len(targets)):
            raise ValueError(
                f"{node.tier} {node.name!r} needs {wanted} node of tier {target_tier}, "
                f"found {', '.join(targets) or 'none'}"
            )

    @cached_property
    def _index(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _uplinks(self) -> dict[str, tuple[Link, ...]]:
        found: dict[str, list[Link]] = {}
        for link in self.links:
            found.setdefault(link.source, []).append(link)
        return {name: tuple(links) for name, links in found.items()}

    @cached_property
    def clients(self) -> tuple[Node, ...]:
        """Client nodes, in file order."""
        return tuple(node for node in self.nodes if node.tier is Tier.CLIENT)

    @cached_property
    def edges(self) -> tuple[Node, ...]:
        """Edge nodes, in file order."""
        return tuple(node for node in self.nodes if node.tier is Tier.EDGE)

    @cached_property
    def clouds(self) -> tuple[Node, ...]:
        """Cloud nodes (validated to be exactly one)."""
        return tuple(node for node in self.nodes if node.tier is Tier.CLOUD)

    @property
    def cloud(self) -> Node:
        """The cloud node."""
        return self.clouds[0]

    def node(self, name: str) -> Node:
        """The node called `name`. Raises `UnknownNameError` listing the valid names."""
        node = self._index.get(name)
        if node is not None:
            return node
        raise UnknownNameError(f"no node {name!r}; nodes: {', '.join(n.name for n in self.nodes)}")

    def uplinks(self, name: str) -> tuple[Link, ...]:
        """The links that leave `name` towards the cloud: one for each edge a client reaches."""
        return self._uplinks.get(name, ())

    def uplink(self, name: str) -> Link:
        """The one link that leaves `name` towards the cloud, as of every edge. Raises `KeyError`
        where there is none, or a choice."""
        links = self.uplinks(name)
        if len(links) != 1:
            raise KeyError(f"node {name!r} has {len(links)} uplinks, not one")
        return links[0]

    def reached_from(self, name: str) -> tuple[Node, ...]:
        """Where queries that arrive at `name` can be answered: the node itself, the nodes that it
        reaches tier by tier, the cloud last."""
        found = {name: self.node(name)}
        queue = [name]
        for below in queue:  # which grows meanwhile
            above = [link.target for link in self.uplinks(below) if link.target not in found]
            found.update((target, self.node(target)) for target in above)
            queue += above
        return tuple(found.values())
