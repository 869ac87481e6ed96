"""What batches take beside their median, and answers beside their way: drawn as a run showed it.

Each model on a node, and each client, has a sequence of its own: it is the same whichever other
nodes are simulated beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from profiling.profile import Profiles, WayCost

__all__ = ["BatchScatter", "drawn_batches", "drawn_door_s"]

BatchScatter = Callable[[str, str], float]
"""(node, model) -> a batch's time ÷ what its profile says, drawn anew at each call"""
AT_ONCE = 256


def drawn_batches(profiles: Profiles, seed: int) -> BatchScatter:
    """Ratios as `testbed calibrate` saw them; 1 of a model whose batches were not seen."""
    sequences: dict[tuple[str, str], _Sequence] = {}

    def ratio(node: str, model: str) -> float:
        found = sequences.get((node, model))
        if found is None:
            profile = profiles.find(node, model)
            note = profile.calibration if profile is not None else None
            seen = note.scatter if note is not None else ()
            found = sequences[node, model] = _Sequence(seen or (1.0,), _draw(seed, node, model))
        return found.next()

    return ratio


def drawn_door_s(way: WayCost, client_q: NDArray[np.str_], seed: int) -> NDArray[np.float64]:
    """Seconds that the answer of each query takes at the door of its client (q)."""
    door_s_q = np.full(len(client_q), way.door_s)
    if way.scatter_s and len(client_q):
        clients, place_q = np.unique(client_q, return_inverse=True)
        by_client_q = np.argsort(place_q, kind="stable")
        ends = np.cumsum(np.bincount(place_q, minlength=len(clients)))
        for client, mine_q in zip(clients.tolist(), np.split(by_client_q, ends[:-1]), strict=True):
            door_s_q[mine_q] += _draw(seed, client).choice(way.scatter_s, len(mine_q))
    return door_s_q


class _Sequence:
    """Of values that are equally likely, many of which are drawn at once."""

    def __init__(self, values: tuple[float, ...], draw: np.random.Generator) -> None:
        self._values = values
        self._draw = draw
        self._left: list[float] = []

    def next(self) -> float:
        """The next one."""
        if not self._left:
            self._left = self._draw.choice(self._values, AT_ONCE).tolist()
        return self._left.pop()


def _draw(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng([seed, crc32("\n".join(names).encode())])
