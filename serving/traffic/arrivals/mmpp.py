"""How the rate of a Markov-modulated process moves: jumps between states, alone or together.

Axes: k = stay in a state, or block.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from cluster.arrivals import MmppArrivals
from serving.traffic.arrivals.step_path import StepPath, product, total_of

__all__ = ["mmpp_factor"]

CHUNK = 64


def mmpp_factor(
    process: MmppArrivals,
    own: np.random.Generator,
    shared: np.random.Generator,
    follow: np.random.Generator,
    duration_s: float,
) -> StepPath:
    """Factor of a client's mean rate over a phase; its own mean over time is 1.

    `own` and `follow` are streams of this client, `shared` is the same for all. In each block of
    time a client follows the shared path with probability √correlation, else its own. So the rates
    of two clients have the stated correlation at any time, and each is as bursty as without it.

    Raises `ValueError` if the mean is to be held and only states without arrivals were drawn.
    """
    alone = _path(process, own, duration_s)
    if process.correlation > 0:
        together = _path(process, shared, duration_s)
        follows = _blocks(process, follow, duration_s)
        turned = StepPath(follows.starts_s_k, 1.0 - follows.values_k, duration_s)
        alone = total_of([product([follows, together]), product([turned, alone])])
    mean = alone.mean if process.hold_mean else process.mean_factor
    if mean <= 0:
        raise ValueError(
            f"mmpp: in {duration_s:g} s only states of factor 0 came up, so the mean cannot be "
            "held; lengthen the phase, shorten `dwell_s`, or take another seed"
        )
    return alone.scaled(1.0 / mean)


def _path(process: MmppArrivals, generator: np.random.Generator, duration_s: float) -> StepPath:
    """Factors as they are stated, from the state that a look at any time finds."""
    dwell_s = np.array([state.dwell_s for state in process.states])
    factors = np.array([state.factor for state in process.states])
    state = int(generator.choice(len(factors), p=dwell_s / dwell_s.sum()))
    starts_s, states, now_s = [], [], 0.0
    while now_s < duration_s:
        starts_s.append(now_s)
        states.append(state)
        now_s += dwell_s[state] * generator.standard_exponential()
        # Any other state, each as often; so the share of time in one is as its `dwell_s`.
        state = (state + 1 + int(generator.integers(len(factors) - 1))) % len(factors)
    return StepPath(np.array(starts_s), factors[states], duration_s)


def _blocks(process: MmppArrivals, generator: np.random.Generator, duration_s: float) -> StepPath:
    """1 in the blocks in which a client follows the shared path, 0 in the others.

    A block is as long as a stay in every state, so that bursts stay whole for the most part.
    """
    length_s = sum(state.dwell_s for state in process.states)
    starts_s_k: NDArray[np.float64] = np.arange(0.0, duration_s, length_s)
    follows_k = generator.random(len(starts_s_k)) < sqrt(process.correlation)
    return StepPath(starts_s_k, follows_k.astype(np.float64), duration_s)
