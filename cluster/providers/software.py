"""What a process runs on, and whether it is the same on another machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from cluster.code_digest import code_digest

__all__ = ["VERSIONS", "Software", "own_software", "software_fault", "versions_fault"]

VERSIONS = ("ray", "torch", "torchvision", "numpy", "pydantic")
"""of packages that must be the same in all processes of a cluster: they read each other's pickles,
and the same weights must give the same answers"""


@dataclass(frozen=True)
class Software:
    """What a process runs on."""

    python: str
    versions: Mapping[str, str]
    """distribution -> version; those that are missing are left out"""
    code: str
    """digest of the testbed's own modules; empty where they cannot be imported"""
    fault: str = ""
    """why they cannot"""


def own_software() -> Software:
    """That of this process."""
    versions = {name: metadata.version(name) for name in VERSIONS}
    return Software(platform.python_version(), versions, code_digest())


def software_fault(told: Mapping[str, Any], own: Software) -> str | None:
    """Why a Ray node with the software that it `told` of cannot run a node; None if it can."""
    fault = versions_fault(told["python"], told["versions"], own)
    if fault is not None:
        return fault
    if told["fault"]:
        return f"the testbed cannot be imported there: {told['fault']}"
    if told["code"] != own.code:
        return "the testbed there is of another state than here"
    return None


def versions_fault(python: str, versions: Mapping[str, str], own: Software) -> str | None:
    """What of these versions differs from this process's; None if nothing that matters does."""
    if python.rpartition(".")[0] != own.python.rpartition(".")[0]:
        return f"Python {python} there, {own.python} here"
    for name, version in own.versions.items():
        if versions.get(name) != version:
            return f"{name} {versions.get(name, 'is missing')} there, {version} here"
    return None
