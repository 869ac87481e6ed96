"""Loads that are changed by hand while traffic flows: a factor on each client's queries.

The schedule is fixed before a run. What is left out of it, or asked beside it, is noted by the load
generator, so that a run's rows have what was really sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

__all__ = ["LoadSwitch"]


class LoadSwitch:
    """May be set from another thread than the one that sends."""

    def __init__(self, clients: Iterable[str], seed: int = 0) -> None:
        self._factors = dict.fromkeys(clients, 1.0)
        self._random = np.random.default_rng(seed)

    @property
    def factors(self) -> Mapping[str, float]:
        """client -> factor."""
        return dict(self._factors)

    def scale(self, client: str, factor: float) -> None:
        """From now on `client` asks `factor` times what is scheduled. Raises `KeyError` for a
        client without traffic."""
        if client not in self._factors:
            raise KeyError(client)
        self._factors[client] = factor

    def times(self, client: str) -> int:
        """How many times a query of the schedule is to be sent, so that in the mean it is the
        client's factor."""
        factor = self._factors.get(client, 1.0)
        whole = math.floor(factor)
        return whole + bool(self._random.random() < factor - whole)

    def later_s(self) -> float:
        """How long after the scheduled query another one is sent: within a second, at random, as
        queries of others come."""
        return float(self._random.random())
