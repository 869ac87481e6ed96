"""What a node must know besides its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.topology import Link, Node
from profiling.profile import ModelProfile
from serving.node.links.peer_connection import UplinkTimeouts
from serving.tracing.config import TracingConfig

__all__ = ["NodeConfig"]


@dataclass(frozen=True)
class NodeConfig:
    """What a node must know besides its plan."""

    node: Node
    uplinks: tuple[Link, ...]
    """towards the cloud; a client has one for each edge that it reaches (F12)"""
    tasks: tuple[str, ...]
    token: str
    bounds_s: Mapping[str, float] = field(default_factory=dict)
    """promised latency of an answer, by the node that serves it"""
    host: str = "127.0.0.1"
    """where it listens; on a cluster, the address of the Ray node that it runs on"""
    link_hosts: Mapping[str, str] = field(default_factory=dict)
    """where it listens for those nodes below to which a link of its own was laid, by name"""
    laid: frozenset[str] = frozenset()
    """the nodes above to which such a link leads: the network itself holds their bandwidth"""
    private: bool = True
    """whether only this machine reaches `host`"""
    max_waiting: int = 512
    shared_passes: bool = True
    """whether tasks asked of one image share its passes and its way up (F14)"""
    spill_over: bool = True
    """whether a query whose way is full takes another one that has room"""
    emulated: Mapping[str, ModelProfile] = field(default_factory=dict)
    """by model, what it takes on the device that the node emulates; empty where it emulates none"""
    timeouts: UplinkTimeouts = field(default_factory=UplinkTimeouts)
    """how long the node waits for the one above"""
    tracing: TracingConfig | None = None
    """which of its queries are traced; None: none"""
