"""Random streams keyed by names, so that one stream never moves another."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

__all__ = ["Streams", "Use"]


class Use(IntEnum):
    """What a stream is drawn for."""

    ARRIVALS = 0
    IMAGES = 1
    RATE = 2
    """how the rate of a client moves"""
    MIX = 3
    """which client and task an arrival belongs to"""
    CALLERS = 4
    """think times and questions of callers who wait"""
    FOLLOW = 5
    """when a client's rate follows the one that clients share"""


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of one phase of a run."""

    seed: int
    phase: int

    def of(self, use: Use, client: str = "", task: str = "") -> np.random.Generator:
        """A generator at the start of the stream; without names, the one of the whole phase."""
        key = (self.phase, _word(client), _word(task), int(use))
        return np.random.default_rng(np.random.SeedSequence(entropy=self.seed, spawn_key=key))


def _word(name: str) -> int:
    """A stable 64-bit number for a name (`hash` differs between processes)."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
