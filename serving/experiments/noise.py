"""Noise: plans made with wrong loads, set-up costs or bandwidths; the system has the true ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cluster.demand import Phase
from planner.experiments.study import Progress
from serving.experiment_runs.request import SIMULATED, Runs
from serving.experiments.live_study import LiveCase, demo_phases, run_live
from serving.setting.setting import Setting

__all__ = ["cases", "run", "with_wrong_bandwidths", "with_wrong_rates", "with_wrong_setups"]

ERRORS = (0.1, 0.25, 0.5)
LEAST_S = 1e-6
"""of a batch, however wrong its set-up is"""


def run(
    out_dir: str | Path,
    setting: Setting,
    *,
    seeds: int = 20,
    on_progress: Progress | None = None,
    runs: Runs = SIMULATED,
) -> Path:
    """Writes noise.csv and noise.png.

    Every figure that planning sees is the true one times a factor drawn evenly from 1 - error to
    1 + error. Loads are wrong only in the first plan, since the loop measures them; set-up costs
    and bandwidths in all plans but those of the oracle.
    """
    title = "accuracy of plans made with wrong figures"
    return run_live("noise", title, cases(), setting, out_dir, seeds, on_progress, runs)


def cases() -> list[LiveCase]:
    """Right figures first; then by what is wrong, and by how much."""
    calm, _ = demo_phases()
    phases = (calm,)
    found = [LiveCase("exact", phases)]
    for error in ERRORS:
        by = f"±{error:.0%}"
        found += [
            LiveCase(f"λ {by}", phases, expected=partial(with_wrong_rates, error=error)),
            LiveCase(f"ν {by}", phases, believed=partial(with_wrong_setups, error=error)),
            LiveCase(f"links {by}", phases, believed=partial(with_wrong_bandwidths, error=error)),
        ]
    return sorted(found, key=lambda case: case.name.partition(" ")[0])


def with_wrong_rates(phase: Phase, seed: int, *, error: float) -> Phase:
    """`phase` with every lambda_it off by up to `error`."""
    factor = _factors(seed, error)
    rates = {
        client: {task: rate * factor() for task, rate in tasks.items()}
        for client, tasks in phase.rates_qps.items()
    }
    return phase.model_copy(update={"rates_qps": rates})


def with_wrong_setups(setting: Setting, seed: int, *, error: float) -> Setting:
    """`setting` with every nu_nm off by up to `error`, and batches of all sizes by as many seconds.
    Nodes of one hardware class were measured once, so they are off by the same factor."""
    factor = _factors(seed, error)
    factors: dict[tuple[str, str], float] = {}
    wrong = []
    for profile in setting.profiles.profiles:
        measured = (profile.measured_on, profile.model)
        if measured not in factors:
            factors[measured] = factor()
        more_s = (factors[measured] - 1.0) * profile.setup_s
        latency = tuple(
            entry.model_copy(update={"p50_s": max(entry.p50_s + more_s, LEAST_S)})
            for entry in profile.latency
        )
        update = {"setup_s": profile.setup_s * factors[measured], "latency": latency}
        wrong.append(profile.model_copy(update=update))
    return replace(setting, profiles=setting.profiles.model_copy(update={"profiles": tuple(wrong)}))


def with_wrong_bandwidths(setting: Setting, seed: int, *, error: float) -> Setting:
    """`setting` with every link's bandwidth off by up to `error`."""
    factor = _factors(seed, error)
    links = tuple(link.carrying(link.bytes_per_s * factor()) for link in setting.topology.links)
    return replace(setting, topology=setting.topology.model_copy(update={"links": links}))


def _factors(seed: int, error: float) -> Callable[[], float]:
    draw = np.random.default_rng([seed, 47])
    return lambda: float(draw.uniform(1.0 - error, 1.0 + error))
