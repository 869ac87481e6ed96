"""Queries as a device sees them, and a batch of them as the arrays of one pass."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.errors import RefusalReason, RefusedError
from serving.node.device.batching import Batch
from serving.node.device.served import Image, Served

__all__ = [
    "Job",
    "PassTimes",
    "answers_of",
    "by_shape",
    "check_rows",
    "distinct_images",
    "settle",
    "stacked",
    "times_of",
]


class Job:
    """One image, the tasks asked of it, and where their answers are awaited."""

    __slots__ = ("future", "image", "tasks")

    def __init__(
        self, tasks: tuple[str, ...], image: Image, future: asyncio.Future[dict[str, Served]]
    ) -> None:
        self.tasks = tasks
        self.image = image
        self.future = future


class PassTimes(NamedTuple):
    """Where the time of a pass of `size` images went, in seconds."""

    size: int
    queue_s: Sequence[float]
    """each query's wait until its batch closed"""
    batch_wait_s: float
    """the closed batch's wait for the device"""
    compute_s: float


def times_of(batch: Batch[Job], size: int, started_s: float, compute_s: float) -> PassTimes:
    """The times of a pass of `batch` that began at `started_s`. An emulated device begins when its
    batch is ready, a little before the host's thread is woken and closes the batch."""
    closed_s = min(batch.closed_s, started_s)
    queue_s = [max(0.0, closed_s - arrived_s) for arrived_s in batch.arrived_s]
    return PassTimes(size, queue_s, started_s - closed_s, compute_s)


def by_shape(batch: Batch[Job]) -> list[Batch[Job]]:
    """The batch, or one for each shape of image in it: one array holds images of one shape."""
    shapes = dict.fromkeys(job.image.shape for job in batch.items)
    if len(shapes) == 1:
        return [batch]
    parts = []
    for shape in shapes:
        pairs = zip(batch.items, batch.arrived_s, strict=True)
        items, arrived_s = zip(
            *(pair for pair in pairs if pair[0].image.shape == shape), strict=True
        )
        parts.append(batch._replace(items=items, arrived_s=arrived_s))
    return parts


def distinct_images(jobs: Sequence[Job], shared_passes: bool) -> tuple[list[Image], Sequence[int]]:
    """The images of one pass, and the row of each job's image in it. With `shared_passes`, jobs of
    the same array share a row."""
    if not shared_passes:
        return [job.image for job in jobs], range(len(jobs))
    distinct: dict[int, int] = {}
    rows = [distinct.setdefault(id(job.image), len(distinct)) for job in jobs]
    if len(distinct) == len(jobs):
        return [job.image for job in jobs], rows
    return list({id(job.image): job.image for job in jobs}.values()), rows


def stacked(images: Sequence[Image]) -> Image:
    """(b, h, w, 3) of images of one shape; `np.stack` costs as much again for each of them."""
    batch = np.empty((len(images), *images[0].shape), images[0].dtype)
    for row, image in enumerate(images):
        batch[row] = image
    return batch


def check_rows(answers: Mapping[str, NDArray[np.generic]], size: int) -> None:
    """Raise `ValueError` unless every task has an answer for each of `size` images."""
    for task, rows in answers.items():
        if len(rows) != size:
            raise ValueError(f"{task} has {len(rows)} answers for a batch of {size} images")


def answers_of(
    batch: Batch[Job],
    rows: Sequence[int],
    answers: Mapping[str, NDArray[np.generic]],
    times: PassTimes,
) -> list[tuple[Job, dict[str, Served] | RefusedError]]:
    """What each job of a pass gets; a refusal where the model does not serve a task of it."""
    found: list[tuple[Job, dict[str, Served] | RefusedError]] = []
    for job, row, waited_s in zip(batch.items, rows, times.queue_s, strict=True):
        try:
            served = {
                task: Served(
                    answers[task][row], times.size, waited_s, times.batch_wait_s, times.compute_s
                )
                for task in job.tasks
            }
        except KeyError:
            words = f"{batch.model} does not serve {job.tasks}"
            found.append((job, RefusedError(RefusalReason.NOT_SERVED, words)))
        else:
            found.append((job, served))
    return found


def settle(results: Sequence[tuple[Job, dict[str, Served] | RefusedError]]) -> None:
    """Hand each job its answers or its refusal. To be called on the event loop."""
    for job, result in results:
        if job.future.done():  # its caller was cancelled, timed out, or refused meanwhile
            continue
        if isinstance(result, RefusedError):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
