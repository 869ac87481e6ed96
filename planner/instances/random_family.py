"""The `random` family: a drawn library with an accuracy-cost ladder and multi-task models."""

from __future__ import annotations

import numpy as np

from planner.instances.library import HIGHEST, LOWEST, LibraryModel, ModelLibrary

__all__ = ["random_library"]

SIZES = (1.0, 3.0, 9.0)
"""Relative cost of the three tiers of model size."""


def random_library(seed: int, models: int = 36, tasks: int = 5) -> ModelLibrary:
    """A library of `models` networks in three tiers of size; larger ones are more accurate, and
    every further task a network serves costs it some accuracy."""
    rng = np.random.default_rng([seed, 7])
    names = tuple(f"task-{t}" for t in range(tasks))
    found = []
    for m in range(models):
        tier = int(rng.integers(len(SIZES)))
        if m < tasks:
            served = np.array([m])
        else:
            served = np.sort(rng.permutation(tasks)[: rng.integers(1, tasks + 1)])
        size = SIZES[tier] * rng.uniform(0.7, 1.4)
        base = 0.62 + 0.13 * tier - 0.02 * (len(served) - 1)
        metric = np.clip(base + rng.normal(0, 0.05, len(served)), LOWEST, HIGHEST)
        found.append(
            LibraryModel(
                name=f"net-{m}",
                parameters_m=4.0 * size,
                gmacs=1.0 * size * (1 + 0.1 * (len(served) - 1)),
                metric={names[t]: float(a) for t, a in zip(served, metric, strict=True)},
            )
        )
    return ModelLibrary(
        name="random",
        source="drawn",
        licence="none",
        stand_ins="everything",
        tasks=names,
        better=dict.fromkeys(names, "up"),
        query_bytes=60_000,
        answer_bytes=20_000,
        models=tuple(found),
    )
