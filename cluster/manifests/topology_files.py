"""A topology as files for where its cluster is: itself, and the link traces that it names."""

from __future__ import annotations

from pathlib import Path

import yaml

from cluster.topology import Topology

__all__ = ["TOPOLOGY_FILE", "topology_files"]

TOPOLOGY_FILE = "topology.yaml"


def topology_files(topology: Topology, address: str, token_file: str) -> dict[str, str]:
    """Texts by name, all for one folder. The topology's provider attaches to the Ray cluster whose
    head is at `address`, with the token of `token_file`, which somebody else has started."""
    stated = topology.model_dump(mode="json", exclude_none=True)
    traces: dict[str, str] = {}
    for position, (link, data) in enumerate(zip(topology.links, stated["links"], strict=True)):
        if link.trace is not None:
            file = Path(link.trace.file)
            name = data["trace"]["file"] = f"link-trace-{position}{file.suffix}"
            traces[name] = file.read_text(encoding="utf-8")
    stated["provider"] = {"kind": "attach", "address": address, "token_file": token_file}
    return {TOPOLOGY_FILE: yaml.safe_dump(stated, sort_keys=False), **traces}
