"""Topologies and demands that come with the testbed, as YAML files in this folder."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SPECS"]

SPECS = Path(__file__).resolve().parent
