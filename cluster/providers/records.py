"""What each provider writes down of a cluster before it makes anything, so that `down` finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from cluster.addresses import is_loopback
from cluster.document import FrozenModel
from cluster.provider_choice import SshHost, kind_in
from cluster.wiring import LaidLink, Wiring

__all__ = [
    "AttachRecord", "LocalRecord", "NetnsRecord", "ProviderRecord", "SshMachine", "SshRecord",
]  # fmt: skip


class LocalRecord(FrozenModel):
    """All nodes on one Ray node of this host: processes and a folder are all there is."""

    kind: Literal["local"] = "local"

    @property
    def wiring(self) -> Wiring:
        """Nodes find each other on loopback."""
        return Wiring()


class NetnsRecord(FrozenModel):
    """A namespace a node, a bridge, and a pair of interfaces for each link and each node."""

    kind: Literal["netns"] = "netns"
    bridge: str
    """of the control network, on the host"""
    ports: tuple[str, ...]
    """of the bridge, also on the host: the near ends of the nodes' control interfaces"""
    head_host: str
    """the host's own address on the control network"""
    hosts: dict[str, str]
    """by node, its address on the control network"""
    links: tuple[LaidLink, ...]
    pids: dict[str, int] = Field(default_factory=dict)
    """by node, the process that runs its Ray node"""

    @property
    def wiring(self) -> Wiring:
        """Every link has been laid; the control network ends at this host."""
        return Wiring(hosts=(self.head_host, *self.hosts.values()), links=self.links)


class AttachRecord(FrozenModel):
    """A Ray cluster of the user's: where its nodes were found, and what was added to it."""

    kind: Literal["attach"] = "attach"
    asks_token: bool
    """whether Ray's servers ask for a token"""
    folder: str
    """of the testbed's processes, on each host"""
    driver_host: str = ""
    """the address of a Ray node of this machine: the user's, or one that was added"""
    found: tuple[str, ...] | None = None
    """what ran there before and therefore goes on (`remote_tasks.found_running`); None until that
    is known, before which nothing of the testbed's runs there"""
    hosts: dict[str, str] = Field(default_factory=dict)
    """by node, the address of its Ray node"""
    ray_nodes: dict[str, str] = Field(default_factory=dict)
    """by node, the ID of its Ray node"""

    @property
    def wiring(self) -> Wiring:
        """Nodes find each other at the addresses of their Ray nodes, and hold their links."""
        if all(is_loopback(host) for host in self.hosts.values()):
            return Wiring(folder=self.folder)
        hosts = tuple(dict.fromkeys([self.driver_host, *self.hosts.values()]))
        return Wiring(hosts=hosts, private=False, folder=self.folder)


class SshMachine(FrozenModel):
    """A machine on which the testbed has a Ray node."""

    machine: SshHost
    python: str
    """the interpreter there, as an absolute path"""
    code: str
    """the folder there with the testbed's packages"""

    @property
    def address(self) -> str:
        """Under which the other machines reach it."""
        return self.machine.address or self.machine.host


class SshRecord(FrozenModel):
    """A Ray node on each of several machines, with its head on this one."""

    kind: Literal["ssh"] = "ssh"
    head_host: str
    ssh_config: Path | None = None
    folder: str
    """of the cluster, on each of the machines"""
    machines: dict[str, SshMachine] = Field(default_factory=dict)
    """by their names in the topology's block"""

    def machine_of(self, node: str) -> SshMachine:
        """Where `node` is placed."""
        return next(each for each in self.machines.values() if node in each.machine.nodes)

    @property
    def wiring(self) -> Wiring:
        """Nodes find each other at their machines' addresses, and hold their links."""
        hosts = [self.head_host, *(each.address for each in self.machines.values())]
        return Wiring(hosts=tuple(dict.fromkeys(hosts)), private=False, folder=self.folder)


ProviderRecord = Annotated[
    Annotated[LocalRecord, Tag("local")]
    | Annotated[NetnsRecord, Tag("netns")]
    | Annotated[AttachRecord, Tag("attach")]
    | Annotated[SshRecord, Tag("ssh")],
    Discriminator(kind_in),
]
