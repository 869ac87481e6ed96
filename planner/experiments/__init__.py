"""The experiments at the planning level: each `run(out_dir, ...)` writes a CSV and a figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from planner.experiments import (
    affine,
    association,
    communication,
    composition,
    convergence,
    energy,
    heterogeneity,
    optimality,
    rivals,
    scaling,
    sensitivity,
    surrogate,
    windows,
)

__all__ = ["EXPERIMENTS"]

EXPERIMENTS: dict[str, Callable[..., Path]] = {
    "convergence": convergence.run,
    "optimality": optimality.run,
    "rivals": rivals.run,
    "windows": windows.run,
    "communication": communication.run,
    "heterogeneity": heterogeneity.run,
    "composition": composition.run,
    "sensitivity": sensitivity.run,
    "surrogate": surrogate.run,
    "association": association.run,
    "energy": energy.run,
    "scaling": scaling.run,
    "affine": affine.run,
}
