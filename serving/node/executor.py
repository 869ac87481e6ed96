"""One device of a node: its models, its queues, and the one thread that drives it.

Queries come from the event loop (`submit`), wait in a batcher, run on the device thread and come
back to the loop with one hand-over a batch. Models are loaded on a thread of their own, so the
device goes on with the others meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serving.node.admission import Backlog
from serving.node.batching import Batch, Batcher
from serving.node.errors import RefusedError

__all__ = ["Executor", "Runtime", "Served"]

Image = NDArray[np.uint8]


class Runtime(Protocol):
    """A loaded model, as the executor sees it (`models.runtime.ModelRuntime`)."""

    def run(self, images: Image) -> Mapping[str, NDArray[np.generic]]:
        """Answers of every task of the model for uint8 images (b, h, w, 3)."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...


@dataclass(frozen=True, slots=True)
class Served:
    """The prediction for one query and where its time went (seconds)."""

    prediction: NDArray[np.generic]
    batch_size: int
    queue_s: float
    batch_wait_s: float
    compute_s: float


class _Job:
    __slots__ = ("future", "image", "task")

    def __init__(self, task: str, image: Image, future: asyncio.Future[Served]) -> None:
        self.task = task
        self.image = image
        self.future = future


class Executor:
    """Batching executor of one device.

    `submit` raises `RefusedError` when the work that waits exceeds `backlog_limit_s` (seconds of
    device time), the queue is full, the model is not loaded, or the device failed. A cancelled
    caller is taken out of the queue and never harms its batch-mates. `busy_clock`, read on the
    device thread, counts `busy_s`: the thread's own CPU time where nodes share the cores.
    """

    def __init__(
        self,
        batcher: Batcher[_Job],
        load: Callable[[str], Runtime],
        *,
        backlog_limit_s: float = float("inf"),
        max_waiting: int = 1024,
        clock: Callable[[], float] = time.monotonic,
        busy_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batcher = batcher
        self._load = load
        self._backlog = Backlog(backlog_limit_s)
        self._max_waiting = max_waiting
        self._clock = clock
        self._busy_clock = busy_clock
        self._models: dict[str, Runtime] = {}
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._stopped = False
        self._running: str | None = None
        self._loading = asyncio.Lock()
        self.busy_s = 0.0
        self.batches = 0
        self._thread = threading.Thread(target=self._drive, name="device", daemon=True)
        self._thread.start()

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that are loaded."""
        return tuple(self._models)

    async def load(self, model: str) -> float:
        """Load and warm `model` unless it is there; returns the seconds it took."""
        async with self._loading:
            if model in self._models:
                return 0.0
            started_s = self._clock()
            self._models[model] = await asyncio.to_thread(self._load, model)
            return self._clock() - started_s

    async def unload(self, model: str) -> None:
        """Let the queries of `model` that are queued or running finish, then free it."""
        while self._batcher_waiting(model) or self._running == model:
            await asyncio.sleep(0.01)
        runtime = self._models.pop(model, None)
        if runtime is not None:
            await asyncio.to_thread(runtime.close)

    async def submit(self, model: str, task: str, image: Image) -> Served:
        """Queue one query and wait for its answer."""
        if model not in self._models:
            raise RefusedError("model_not_loaded", f"model {model!r} is not loaded here")
        future: asyncio.Future[Served] = self._loop.create_future()
        job = _Job(task, image, future)
        with self._changed:
            if self._stopped:
                raise RefusedError("stopping", "the node is shutting down")
            if self._batcher.waiting() >= self._max_waiting:
                raise RefusedError("queue_full", f"{self._max_waiting} queries are waiting")
            waiting = {name: self._batcher.waiting(name) for name in self._models}
            if not self._backlog.admits(waiting):
                raise RefusedError("overloaded", "the node could not answer within its bound")
            self._batcher.push(model, job, self._clock())
            self._changed.notify()
        try:
            return await future
        except asyncio.CancelledError:
            with self._changed:
                self._batcher.remove(job)
            raise

    def close(self) -> None:
        """Stop the device thread; queries still queued are refused."""
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
        while True:
            with self._changed:
                batch = self._next_batch()
                self._running = batch.model if batch else None
            if batch is None:
                break
            self._run(batch)
            self._running = None
        self._refuse_all()

    def _next_batch(self) -> Batch[_Job] | None:
        """Wait (holding the lock) until the batcher gives a batch; None once stopped."""
        while not self._stopped:
            now_s = self._clock()
            batch = self._batcher.pop(now_s)
            if batch is not None:
                return batch
            wake_s = self._batcher.wake_s(now_s)
            self._changed.wait(None if wake_s is None else max(0.0, wake_s - now_s))
        return None

    def _run(self, batch: Batch[_Job]) -> None:
        started_s, busy_from_s = self._clock(), self._busy_clock()
        try:
            runtime = self._models[batch.model]
            answers = runtime.run(np.stack([job.image for job in batch.items]))
        except Exception as error:
            # A failing batch is refused to its own callers and must not end the device thread.
            self.busy_s += self._busy_clock() - busy_from_s
            refusal = RefusedError("device_failed", f"{batch.model}: {error}")
            self._loop.call_soon_threadsafe(_settle, [(job, refusal) for job in batch.items])
            return
        compute_s = self._clock() - started_s
        self.busy_s += self._busy_clock() - busy_from_s
        self.batches += 1
        self._backlog.learn(batch.model, compute_s / len(batch.items))
        served = [
            (
                job,
                Served(
                    prediction=answers[job.task][index],
                    batch_size=len(batch.items),
                    queue_s=max(0.0, batch.closed_s - arrived_s),
                    batch_wait_s=max(0.0, started_s - batch.closed_s),
                    compute_s=compute_s,
                ),
            )
            for index, (job, arrived_s) in enumerate(zip(batch.items, batch.arrived_s, strict=True))
        ]
        self._loop.call_soon_threadsafe(_settle, served)

    def _refuse_all(self) -> None:
        refusal = RefusedError("stopping", "the node is shutting down")
        while (batch := self._batcher.pop(float("inf"))) is not None:
            refused = [(job, refusal) for job in batch.items]
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_settle, refused)


def _settle(results: Sequence[tuple[_Job, Served | RefusedError]]) -> None:
    for job, result in results:
        if job.future.done():  # its caller was cancelled or timed out
            continue
        if isinstance(result, Served):
            job.future.set_result(result)
        else:
            job.future.set_exception(result)
