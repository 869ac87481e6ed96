"""How the loads of clients are scaled by the events of a timeline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cluster.timeline import TimelineEvent
from serving.traffic.arrivals.step_path import StepPath

__all__ = ["load_factors"]


def load_factors(
    timeline: Sequence[TimelineEvent], start_s: float, duration_s: float
) -> dict[str, StepPath]:
    """Factor of its rates by client, over a phase that begins `start_s` into the traffic.

    Clients whose factor is 1 all the time are left out, so that their traffic is as without
    `timeline` to the last bit.
    """
    loads = [(event.at_s - start_s, event.scale_load) for event in timeline if event.scale_load]
    factors: dict[str, StepPath] = {}
    for client in {load.client for _, load in loads}:
        starts_s, values = [0.0], [1.0]
        for at_s, load in loads:
            if load.client != client or at_s >= duration_s:
                continue
            if at_s > starts_s[-1]:
                starts_s.append(at_s)
                values.append(load.factor)
            else:
                values[-1] = load.factor
        if any(value != 1.0 for value in values):
            factors[client] = StepPath(np.array(starts_s), np.array(values), duration_s)
    return factors
