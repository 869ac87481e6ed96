"""`rooms`: procedural indoor pictures with exact labels for the five tasks of Taskonomy."""

from __future__ import annotations

from models.benchmarks.rooms.dataset import DATA_SEED, SPLITS, Rooms
from models.benchmarks.splits.interface import Sample

__all__ = ["DATA_SEED", "SPLITS", "Rooms", "Sample"]
