"""When which client asks what of which image: seeded arrivals, fixed before the run.

Axes: q = query, in order of scheduled time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.arrivals import ClosedLoop
from cluster.deadline_classes import base_task
from cluster.demand import Phase
from cluster.errors import InputError
from cluster.timeline import TimelineEvent
from serving.traffic.arrivals.draw import draw_arrivals, rate_paths
from serving.traffic.arrivals.load_scale import load_factors
from serving.traffic.arrivals.step_path import StepPath, constant
from serving.traffic.arrivals.streams import Streams, Use
from serving.traffic.closed_loop import CallerGroup

__all__ = ["Asked", "Schedule", "build_schedule", "with_asked"]


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
    request_q: NDArray[np.int64] | None = None
    """the same number for the queries of one request, which asks several tasks of one image (F14);
    None where each query is a request"""
    replayed: tuple[str, ...] = ()
    """how recorded arrivals were brought to the rates of the demand"""
    callers: tuple[CallerGroup, ...] = ()
    """who waits for his answers; what they ask is in the schedule that a run returns"""

    @property
    def last_image(self) -> int:
        """The largest index of an image that a query may be about; -1 if there is no query."""
        of_callers = (images for group in self.callers for images in group.images.values())
        largest = [int(images.max()) for images in of_callers]
        return max([*largest, int(self.image_q.max()) if len(self) else -1])

    def __len__(self) -> int:
        return len(self.scheduled_s_q)

    def requests(self) -> list[tuple[int, ...]]:
        """The places of the queries of each request, in the order in which requests are due."""
        if self.request_q is None:
            return [(place,) for place in range(len(self))]
        places: dict[int, list[int]] = {}
        for place, request in enumerate(self.request_q.tolist()):
            places.setdefault(request, []).append(place)
        return [tuple(several) for several in places.values()]

    @property
    def first_q(self) -> NDArray[np.bool_]:
        """Mask (q) of the first query of each request."""
        first_q = np.ones(len(self), dtype=bool)
        if self.request_q is not None:
            first_q[:] = False
            first_q[np.unique(self.request_q, return_index=True)[1]] = True
        return first_q

    def head(self, duration_s: float) -> Schedule:
        """The queries due in the first `duration_s` seconds, without callers who wait."""
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
            request_q=None if self.request_q is None else self.request_q[:count],
            replayed=self.replayed,
        )


def build_schedule(
    phases: Sequence[Phase],
    seed: int,
    image_count: int,
    labelled: Mapping[str, Sequence[int]] | None = None,
    timeline: Sequence[TimelineEvent] = (),
) -> Schedule:
    """Draw the traffic of `phases`, one after another.

    `labelled` names for each task the images that have its label; without it all of them have. Of
    `timeline` the events that scale a client's load count here.

    How they arrive is said by `arrivals` of each phase (`cluster.arrivals`), Poisson if it says
    nothing. Random streams are keyed by the names of client and task. So adding a client leaves all
    other queries as they were, except those of a trace that the clients share; and under Poisson
    arrivals so does adding a task, or lengthening the last phase.

    A stream walks the images in a shuffled order without repeats until all were shown, which keeps
    the measured accuracy closer to the mean over the test split than independent draws would.

    Raises `InputError` if there is no image, none with a task's label, no phase, or a trace that is
    shorter than its phase.
    """
    if image_count < 1:
        raise InputError(f"a schedule needs at least one labelled image, got {image_count}")
    if not phases:
        raise InputError("a schedule needs at least one phase")
    clients = tuple(sorted({client for phase in phases for client in phase.rates_qps}))
    all_rates = [rates for phase in phases for rates in phase.asked_qps.values()]
    tasks = tuple(sorted({task for rates in all_rates for task in rates}))
    starts_s = np.concatenate([[0.0], np.cumsum([phase.duration_s for phase in phases])])

    client_of = {client: c for c, client in enumerate(clients)}
    columns: list[NDArray[np.float64]] = []
    requests = 0
    how: list[str] = []
    callers: list[CallerGroup] = []
    for position, phase in enumerate(phases):
        streams = Streams(seed, position)
        factors = load_factors(timeline, float(starts_s[position]), phase.duration_s)
        drawn = draw_arrivals(phase, streams, factors)
        how += [f"phase {position}, {words}" for words in drawn.how]
        callers += _caller_groups(
            phase, position, float(starts_s[position]), streams, factors, image_count, labelled
        )
        bundles = {(bundle.client, bundle.name): bundle.tasks for bundle in phase.bundles}
        for (client, name), offset_s in drawn.times_s.items():
            asked = bundles.get((client, name), (name,))
            order = streams.of(Use.IMAGES, client, name)
            image = _walk_images(order, len(offset_s), _images_of(asked, image_count, labelled))
            columns += [
                np.stack(
                    [
                        starts_s[position] + offset_s,
                        np.full(len(image), client_of[client]),
                        np.full(len(image), tasks.index(task)),
                        image,
                        np.full(len(image), position),
                        requests + np.arange(len(image)),
                    ]
                )
                for task in asked
            ]
            requests += len(image)
    table = np.concatenate(columns, axis=1) if columns else np.empty((6, 0))
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
        request_q=table[5].astype(np.int64) if requests < table.shape[1] else None,
        replayed=tuple(how),
        callers=tuple(callers),
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that a caller sent during a run; `at_s` is when he had thought."""

    at_s: float
    client: str
    task: str
    image: int
    phase: int


def with_asked(
    schedule: Schedule, asked: Sequence[Asked], left_out: Collection[int] = ()
) -> tuple[Schedule, NDArray[np.int64]]:
    """`schedule` with what callers asked and without the places that were `left_out`, and for each
    query of it its former place.

    Places count through the queries of `schedule` and then through `asked`.
    """
    if not asked and not left_out:
        return replace(schedule, callers=()), np.arange(len(schedule))
    columns = {
        "scheduled_s_q": [each.at_s for each in asked],
        "client_q": [schedule.clients.index(each.client) for each in asked],
        "task_q": [schedule.tasks.index(each.task) for each in asked],
        "image_q": [each.image for each in asked],
        "phase_q": [each.phase for each in asked],
    }
    if schedule.request_q is not None:
        beyond = int(schedule.request_q.max(initial=-1)) + 1
        columns["request_q"] = [beyond + place for place in range(len(asked))]
    both = {
        name: np.concatenate([getattr(schedule, name), np.array(values)])
        for name, values in columns.items()
    }
    place_q = np.lexsort((both["task_q"], both["client_q"], both["scheduled_s_q"]))
    place_q = place_q[~np.isin(place_q, list(left_out))]
    ordered: dict[str, Any] = {
        name: values[place_q].astype(getattr(schedule, name).dtype) for name, values in both.items()
    }
    return replace(schedule, callers=(), **ordered), place_q


def _caller_groups(
    phase: Phase,
    position: int,
    start_s: float,
    streams: Streams,
    factors: Mapping[str, StepPath],
    image_count: int,
    labelled: Mapping[str, Sequence[int]] | None,
) -> list[CallerGroup]:
    """The callers of a phase who wait for their answers."""
    paths = rate_paths(phase, {})
    groups = []
    for client, rates in phase.rates_qps.items():
        process = phase.arrivals_of(client)
        asks = any(paths[client, task].total > 0 for task in rates)
        if not isinstance(process, ClosedLoop) or not asks:
            continue
        groups.append(
            CallerGroup(
                client=client,
                phase=position,
                start_s=start_s,
                process=process,
                rates_qps={task: paths[client, task] for task in rates},
                images={task: _images_of((task,), image_count, labelled) for task in rates},
                load=factors.get(client, constant(1.0, phase.duration_s)),
                streams=streams,
            )
        )
    return groups


def _images_of(
    tasks: Sequence[str], image_count: int, labelled: Mapping[str, Sequence[int]] | None
) -> NDArray[np.int64]:
    """The images with a label of every one of `tasks`; a class of a task (F20) has its labels."""
    tasks = [base_task(task) for task in tasks]
    if labelled is None:
        return np.arange(image_count)
    found = [
        image for image in labelled.get(tasks[0], ())
        if all(image in labelled.get(task, ()) for task in tasks[1:])
    ]  # fmt: skip
    if not found:
        words = " and one of ".join(repr(task) for task in tasks)
        raise InputError(f"none of the {image_count} labelled images has a label of {words}")
    return np.asarray(found)


def _walk_images(
    generator: np.random.Generator, count: int, images: NDArray[np.int64]
) -> NDArray[np.int64]:
    rounds = -(-count // len(images))
    if not rounds:
        return np.empty(0, dtype=np.int64)
    return np.concatenate([generator.permutation(images) for _ in range(rounds)])[:count]
