"""What a Prometheus must know to scrape a testbed: its configuration, and where the nodes are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.document import write_atomically
from serving.metrics.endpoint import METRICS_PATH

__all__ = ["JOB", "ScrapeTarget", "write_prometheus"]

JOB = "testbed"
SCRAPE_INTERVAL = "5s"


@dataclass(frozen=True)
class ScrapeTarget:
    """Where a node is scraped."""

    address: str
    """HOST:PORT"""
    tier: str


def write_prometheus(
    folder: Path, targets: Mapping[str, ScrapeTarget], token: str | None = None
) -> Path:
    """Write `prometheus.yml` and the `targets.json` it looks into; returns the former's path.

    `targets` maps nodes to addresses. A `token` that the doors ask for goes into a file of its own,
    which only its owner can read. Raises `OSError`.
    """
    groups = [
        {"targets": [target.address], "labels": {"testbed_node": node, "testbed_tier": target.tier}}
        for node, target in targets.items()
    ]
    write_atomically(folder / "targets.json", json.dumps(groups, indent=1) + "\n")
    job: dict[str, object] = {
        "job_name": JOB,
        "metrics_path": METRICS_PATH,
        "scrape_interval": SCRAPE_INTERVAL,
        "file_sd_configs": [{"files": ["targets.json"]}],
    }
    if token is not None:
        write_atomically(folder / "token", token, mode=0o600)
        job["authorization"] = {"credentials_file": "token"}
    configuration = folder / "prometheus.yml"
    write_atomically(configuration, yaml.safe_dump({"scrape_configs": [job]}, sort_keys=False))
    return configuration
