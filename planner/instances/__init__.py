"""Seeded planning problems from published model figures and measured devices and links."""

from planner.instances.library import load_devices, load_library
from planner.instances.sample import FAMILIES, REGIMES, sample_problem

__all__ = ["FAMILIES", "REGIMES", "load_devices", "load_library", "sample_problem"]
