"""When which client asks what of which image: seeded Poisson arrivals, fixed before the run.

Axes: q = query, in order of scheduled time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.demand import Phase
from cluster.errors import InputError

__all__ = ["Schedule", "build_schedule"]

_ARRIVALS, _IMAGES = 0, 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """All queries of a run, sorted by the time at which they are due."""

    clients: tuple[str, ...]
    tasks: tuple[str, ...]
    duration_s: float
    phase_starts_s: tuple[float, ...]
    scheduled_s_q: NDArray[np.float64]
    """seconds after the start of the run"""
    client_q: NDArray[np.int32]
    """index into `clients`"""
    task_q: NDArray[np.int32]
    """index into `tasks`"""
    image_q: NDArray[np.int32]
    """index into the labelled images"""
    phase_q: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.scheduled_s_q)

    def head(self, duration_s: float) -> Schedule:
        """The queries due in the first `duration_s` seconds."""
        count = int(np.searchsorted(self.scheduled_s_q, duration_s))
        return Schedule(
            clients=self.clients,
            tasks=self.tasks,
            duration_s=min(duration_s, self.duration_s),
            phase_starts_s=tuple(start for start in self.phase_starts_s if start < duration_s),
            scheduled_s_q=self.scheduled_s_q[:count],
            client_q=self.client_q[:count],
            task_q=self.task_q[:count],
            image_q=self.image_q[:count],
            phase_q=self.phase_q[:count],
        )


def build_schedule(
    phases: Sequence[Phase],
    seed: int,
    image_count: int,
    labelled: Mapping[str, Sequence[int]] | None = None,
) -> Schedule:
    """Draw the traffic of `phases`, one after another.

    `labelled` names for each task the images that have its label; without it all of them have.

    Every (phase, client, task) has its own random stream, keyed by the names: adding a client or
    a task, or lengthening the last phase, leaves all other queries as they were. A stream walks
    the images in a shuffled order without repeats until all were shown, which keeps the measured
    accuracy closer to the mean over the test split than independent draws would.

    Raises `InputError` if there is no image, none with a task's label, or no phase.
    """
    if image_count < 1:
        raise InputError(f"a schedule needs at least one labelled image, got {image_count}")
    if not phases:
        raise InputError("a schedule needs at least one phase")
    clients = tuple(sorted({client for phase in phases for client in phase.rates_qps}))
    all_rates = [rates for phase in phases for rates in phase.rates_qps.values()]
    tasks = tuple(sorted({task for rates in all_rates for task in rates}))
    starts_s = np.concatenate([[0.0], np.cumsum([phase.duration_s for phase in phases])])

    columns: list[NDArray[np.float64]] = []
    for position, phase in enumerate(phases):
        for client, rates in phase.rates_qps.items():
            for task, rate_qps in rates.items():
                arrivals = _generator(seed, position, client, task, _ARRIVALS)
                offset_s = _poisson_times(arrivals, rate_qps, phase.duration_s)
                order = _generator(seed, position, client, task, _IMAGES)
                shown = _images_of(task, image_count, labelled)
                image = _walk_images(order, len(offset_s), shown)
                columns.append(
                    np.stack(
                        [
                            starts_s[position] + offset_s,
                            np.full(len(image), clients.index(client)),
                            np.full(len(image), tasks.index(task)),
                            image,
                            np.full(len(image), position),
                        ]
                    )
                )
    table = np.concatenate(columns, axis=1) if columns else np.empty((5, 0))
    # Ties are broken by client, then task, so the order never depends on the order of the file.
    table = table[:, np.lexsort((table[2], table[1], table[0]))]
    return Schedule(
        clients=clients,
        tasks=tasks,
        duration_s=float(starts_s[-1]),
        phase_starts_s=tuple(float(start) for start in starts_s[:-1]),
        scheduled_s_q=table[0],
        client_q=table[1].astype(np.int32),
        task_q=table[2].astype(np.int32),
        image_q=table[3].astype(np.int32),
        phase_q=table[4].astype(np.int32),
    )


def _generator(seed: int, phase: int, client: str, task: str, use: int) -> np.random.Generator:
    key = (phase, _word(client), _word(task), use)
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))


def _word(name: str) -> int:
    """A stable 64-bit number for a name (`hash` differs between processes)."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _poisson_times(
    generator: np.random.Generator, rate_qps: float, duration_s: float
) -> NDArray[np.float64]:
    """Arrival times in [0, duration_s), by exponential gaps drawn in order."""
    if rate_qps <= 0:
        return np.empty(0)
    chunk = 64
    # In units of the mean gap, so that a rate next to nothing does not overflow.
    times = np.empty(0)
    while not len(times) or times[-1] < rate_qps * duration_s:
        last = times[-1] if len(times) else 0.0
        more = last + np.cumsum(generator.standard_exponential(chunk))
        times = np.concatenate([times, more])
    times_s: NDArray[np.float64] = times[times < rate_qps * duration_s] / rate_qps
    return times_s[times_s < duration_s]


def _images_of(
    task: str, image_count: int, labelled: Mapping[str, Sequence[int]] | None
) -> NDArray[np.int64]:
    if labelled is None:
        return np.arange(image_count)
    if not labelled.get(task):
        raise InputError(f"none of the {image_count} labelled images has a label of {task!r}")
    return np.asarray(labelled[task])


def _walk_images(
    generator: np.random.Generator, count: int, images: NDArray[np.int64]
) -> NDArray[np.int64]:
    rounds = -(-count // len(images))
    if not rounds:
        return np.empty(0, dtype=np.int64)
    return np.concatenate([generator.permutation(images) for _ in range(rounds)])[:count]
