"""One device of a node: its models, its queues, and the one thread that drives it.

Queries come from the event loop (`submit`), wait in a batcher, run on the device thread and come
back to the loop with one hand-over a batch. Models are loaded on a thread of their own, so the
device goes on with the others meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serving.errors import RefusalReason, RefusedError, raise_first
from serving.logs.logger import NodeLogger
from serving.node.device.admission import find_refusal
from serving.node.device.batching import Batch, Batcher
from serving.node.device.loop_lag import LoopLag
from serving.node.device.observer import SILENT_DEVICE, DeviceObserver
from serving.node.device.process_tuning import schedule_as_usual
from serving.node.device.served import Image, Served

__all__ = ["Executor", "Runtime"]

FAILING = 8
"""batches that failed one after another, from which on the device is taken to be broken"""
_log = logging.getLogger(__name__)


class Runtime(Protocol):
    """A loaded model, as the executor sees it (`models.runtime.model_runtime.ModelRuntime`)."""

    weights_bytes: int
    """what it holds of the device's memory between batches"""

    def run(self, images: Image) -> Mapping[str, NDArray[np.generic]]:
        """Answers of every task of the model for uint8 images (b, h, w, 3)."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...


class _Job:
    __slots__ = ("future", "image", "tasks")

    def __init__(
        self, tasks: tuple[str, ...], image: Image, future: asyncio.Future[dict[str, Served]]
    ) -> None:
        self.tasks = tasks
        self.image = image
        self.future = future


class Executor:
    """Batching executor of one device.

    `submit` raises `RefusedError` where `find_refusal` does not admit the query, the model is not
    loaded, the deadline passes in the queue, or the device failed. A cancelled caller is taken out
    of the queue and never harms its batch-mates. `busy_clock`, read on the device thread, counts
    `busy_s`: the thread's own CPU time where nodes share the cores. `node` is the name that its log
    says.
    """

    def __init__(
        self,
        batcher: Batcher[_Job],
        load: Callable[[str], Runtime],
        *,
        shared_passes: bool = True,
        max_waiting: int = 1024,
        clock: Callable[[], float] = time.monotonic,
        busy_clock: Callable[[], float] = time.monotonic,
        observer: DeviceObserver = SILENT_DEVICE,
        node: str = "",
    ) -> None:
        self._log = NodeLogger(_log, node)
        self._batcher = batcher
        self._load = load
        self._shared_passes = shared_passes
        self._max_waiting = max_waiting
        self._clock = clock
        self._busy_clock = busy_clock
        self._observer = observer
        self._models: dict[str, Runtime] = {}
        self._leaving: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._lag = LoopLag()
        self._changed = threading.Condition(threading.Lock())
        self._stopped = False
        self._running: str | None = None
        self._free_s = 0.0
        self._loading = asyncio.Lock()
        self._failed = 0
        self.busy_s = 0.0
        self.batches = 0
        self._thread = threading.Thread(target=self._drive, name="device", daemon=True)
        self._thread.start()

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that are loaded and not about to go."""
        return tuple(model for model in self._models if model not in self._leaving)

    @property
    def failing(self) -> bool:
        """Whether so many batches failed in a row that the device is taken to be broken."""
        return self._failed >= FAILING

    @property
    def waiting(self) -> dict[str, int]:
        """Queries queued, by loaded model."""
        with self._changed:
            return {model: self._batcher.waiting(model) for model in self._models}

    def learn(self, model: str, size: int, spent_s: float) -> None:
        """Take in what a batch took that ran elsewhere, such as a rehearsal."""
        with self._changed:
            self._batcher.latency_model.learn(model, size, spent_s)

    async def load(self, model: str) -> float:
        """Load and warm `model` unless it is there; returns the seconds it took. Raises what its
        loading raises."""
        async with self._loading:
            while model in self._leaving:  # what is about to go is not there
                await asyncio.sleep(0.01)
            if model in self._models:
                return 0.0
            started_s = self._clock()
            try:
                runtime = await asyncio.to_thread(self._load, model)
            except Exception:
                self._log.exception("model %s failed to load", model)
                raise
            self._models[model] = runtime
            spent_s = self._clock() - started_s
            self._log.info("loaded %s: %.2f s, %d bytes", model, spent_s, runtime.weights_bytes)
            self._observer.on_load(model, spent_s)
            return spent_s

    async def unload(self, model: str) -> float:
        """Take no more queries of `model`, let those queued or running finish, then free it;
        returns the seconds it took."""
        if model not in self._models:
            return 0.0
        started_s = self._clock()
        self._leaving.add(model)
        while self._batcher_waiting(model) or self._running == model:
            await asyncio.sleep(0.01)
        runtime = self._models.pop(model, None)
        self._leaving.discard(model)
        if runtime is not None:
            await asyncio.to_thread(runtime.close)
        spent_s = self._clock() - started_s
        if runtime is not None:
            self._log.info("unloaded %s: %.2f s, %d bytes", model, spent_s, runtime.weights_bytes)
        self._observer.on_unload(model, spent_s)
        return spent_s

    def check(self, model: str, deadline_s: float | None = None) -> None:
        """Raise the `RefusedError` that a query which arrived now would meet."""
        raise_first([self.refusal(model, inf if deadline_s is None else deadline_s)])

    def refusal(self, model: str, deadline_s: float = inf) -> RefusedError | None:
        """What a query that arrived now would be refused with; None if it would be queued."""
        if model not in self._models or model in self._leaving:
            return RefusedError(
                RefusalReason.MODEL_NOT_LOADED, f"model {model!r} is not loaded here"
            )
        with self._changed:
            if self._stopped:
                return RefusedError(RefusalReason.STOPPING, "the node is shutting down")
            return find_refusal(
                self._batcher, model, self._clock(), self._free_s, deadline_s, self._max_waiting
            )

    async def submit(
        self, model: str, task: str, image: Image, deadline_s: float | None = None
    ) -> Served:
        """Queue one query and wait for its answer. `deadline_s` is on the executor's clock."""
        return (await self.submit_all(model, (task,), image, deadline_s))[task]

    async def submit_all(
        self,
        model: str,
        tasks: tuple[str, ...],
        image: Image,
        deadline_s: float | None = None,
    ) -> dict[str, Served]:
        """Queue one image for `tasks` of `model`, which share a pass, and wait for the answers."""
        self.check(model, deadline_s)
        future: asyncio.Future[dict[str, Served]] = self._loop.create_future()
        job = _Job(tasks, image, future)
        with self._changed:
            self._batcher.push(model, job, self._clock(), inf if deadline_s is None else deadline_s)
            self._changed.notify()
        try:
            return await future
        except asyncio.CancelledError:
            with self._changed:
                self._batcher.remove(job)
            raise
        finally:
            del job, future  # which hold the exception that holds this frame (`raise_first`)

    def close(self) -> None:
        """Stop the device thread; queries still queued are refused."""
        self._lag.stop()
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(timeout=30)
        for runtime in self._models.values():
            runtime.close()
        self._models.clear()

    def _batcher_waiting(self, model: str) -> int:
        with self._changed:
            return self._batcher.waiting(model)

    def _drive(self) -> None:
        schedule_as_usual()
        while True:
            with self._changed:
                batch = self._next_batch()
                self._running = batch.model if batch else None
            if batch is None:
                break
            for part in _by_shape(batch):
                self._run(part)
            self._running = None
            del batch, part  # their pictures, while it waits for the next
        self._refuse_all()

    def _next_batch(self) -> Batch[_Job] | None:
        """Wait (holding the lock) until the batcher gives a batch; None once stopped."""
        while not self._stopped:
            now_s = self._free_s = self._clock()
            late = self._batcher.take_late(now_s)
            if late:
                refusal = RefusedError(
                    RefusalReason.DEADLINE, "the deadline passed while the query waited"
                )
                self._hand_over(_settle, [(job, refusal) for job in late])
            batch = self._batcher.pop(now_s)
            if batch is not None:
                self._free_s = now_s + self._batcher.latency_model.batch_s(
                    batch.model, len(batch.items)
                )
                return batch
            wake_s = self._batcher.wake_s(now_s)
            self._changed.wait(None if wake_s is None else max(0.0, wake_s - now_s))
        return None

    def _run(self, batch: Batch[_Job]) -> None:
        started_s, busy_from_s = self._clock(), self._busy_clock()
        images, rows = self._gather(batch.items)
        try:
            runtime = self._models[batch.model]
            answers = runtime.run(_stacked(images))
            _check_rows(answers, len(images))
        except Exception as error:  # noqa: BLE001
            # A failing batch is refused to its own callers and must not end the device thread.
            self.busy_s += self._busy_clock() - busy_from_s
            self._failed += 1
            self._log.limited(
                logging.ERROR,
                (batch.model, type(error)),
                "model %s failed on a batch of %d images",
                batch.model,
                len(images),
                exc_info=True,
            )
            refusal = RefusedError(RefusalReason.DEVICE_FAILED, f"{batch.model}: {error}")
            self._hand_over(_settle, [(job, refusal) for job in batch.items])
            return
        compute_s = self._clock() - started_s
        self.busy_s += self._busy_clock() - busy_from_s
        self.batches += 1
        if self._failed:
            self._log.warning("the device answers again, after %d failed batches", self._failed)
        self._failed = 0
        self.learn(batch.model, len(images), compute_s)
        batch_wait_s = max(0.0, started_s - batch.closed_s)
        queue_s = [max(0.0, batch.closed_s - arrived_s) for arrived_s in batch.arrived_s]
        size = len(images)
        served: list[tuple[_Job, dict[str, Served] | RefusedError]] = []
        for job, row, waited_s in zip(batch.items, rows, queue_s, strict=True):
            found: dict[str, Served] | RefusedError
            try:
                found = {
                    task: Served(answers[task][row], size, waited_s, batch_wait_s, compute_s)
                    for task in job.tasks
                }
            except KeyError:
                found = RefusedError(
                    RefusalReason.NOT_SERVED, f"{batch.model} does not serve {job.tasks}"
                )
            served.append((job, found))

        def hand_back() -> None:
            _settle(served)
            with self._changed:
                # Where the loop is late, queries waited before they were known of.
                spent_s = self._clock() - batch.arrived_s[0] + self._lag.lag_s
                self._batcher.answered(spent_s)
            self._observer.on_batch(
                batch.model, len(images), batch.release, queue_s, batch_wait_s, compute_s
            )

        self._hand_over(hand_back)

    def _gather(self, jobs: Sequence[_Job]) -> tuple[list[Image], Sequence[int]]:
        """The images of one pass, and the row of each job's image in it."""
        if not self._shared_passes:
            return [job.image for job in jobs], range(len(jobs))
        distinct: dict[int, int] = {}
        rows = [distinct.setdefault(id(job.image), len(distinct)) for job in jobs]
        if len(distinct) == len(jobs):
            return [job.image for job in jobs], rows
        return list({id(job.image): job.image for job in jobs}.values()), rows

    def _refuse_all(self) -> None:
        refusal = RefusedError(RefusalReason.STOPPING, "the node is shutting down")
        while (batch := self._batcher.pop(float("inf"))) is not None:
            self._hand_over(_settle, [(job, refusal) for job in batch.items])

    def _hand_over(self, call: Callable[..., None], *arguments: object) -> None:
        """Have the event loop do `call`, unless it ended before its node was closed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)


def _by_shape(batch: Batch[_Job]) -> list[Batch[_Job]]:
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


def _stacked(images: Sequence[Image]) -> Image:
    """(b, h, w, 3) of images of one shape; `np.stack` costs as much again for each of them."""
    batch = np.empty((len(images), *images[0].shape), images[0].dtype)
    for row, image in enumerate(images):
        batch[row] = image
    return batch


def _check_rows(answers: Mapping[str, NDArray[np.generic]], size: int) -> None:
    """Raise `ValueError` unless every task has an answer for each of `size` images."""
    for task, rows in answers.items():
        if len(rows) != size:
            raise ValueError(f"{task} has {len(rows)} answers for a batch of {size} images")


def _settle(results: Sequence[tuple[_Job, dict[str, Served] | RefusedError]]) -> None:
    for job, result in results:
        if job.future.done():  # its caller was cancelled or timed out
            continue
        if isinstance(result, RefusedError):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
