"""How a rate moves when a crowd comes at once, stays and goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.arrivals import FlashCrowd
from serving.traffic.arrivals.step_path import StepPath

__all__ = ["flash_crowd_factor"]

STEPS = 64
"""that a rise or fall is cut into"""


def flash_crowd_factor(process: FlashCrowd, duration_s: float) -> StepPath:
    """Factor of the phase's rate: 1 outside the crowd, `process.factor` while it is full."""
    fall_s = process.rise_s if process.fall_s is None else process.fall_s
    full_s = process.at_s + process.rise_s
    leaving_s = full_s + process.hold_s
    middles_k = (np.arange(STEPS) + 0.5) / STEPS
    up_k = 1.0 + (process.factor - 1.0) * middles_k
    pieces: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = [
        (np.zeros(1), np.ones(1)),
        (_starts_s(process.at_s, process.rise_s), up_k),
        (np.array([full_s]), np.array([process.factor])),
        (_starts_s(leaving_s, fall_s), up_k[::-1]),
        (np.array([leaving_s + fall_s]), np.ones(1)),
    ]
    starts_s_k = np.concatenate([starts_s for starts_s, _ in pieces])
    values_k = np.concatenate([values for _, values in pieces])
    # Of pieces without length, such as a rise in no time, the last start counts.
    last_k = np.append(np.diff(starts_s_k) > 0, True) & (starts_s_k < duration_s)
    return StepPath(starts_s_k[last_k], values_k[last_k], duration_s)


def _starts_s(begin_s: float, length_s: float) -> NDArray[np.float64]:
    return begin_s + length_s * np.arange(STEPS) / STEPS
