"""`streets`: procedural road scenes with exact labels for the tasks of Cityscapes 3D."""

from __future__ import annotations

from models.benchmarks.streets.dataset import Streets

__all__ = ["Streets"]
