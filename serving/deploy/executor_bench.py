"""Batches of a given size through the executor that serves, one at a time, with nothing beside.

A batch is timed as a node times it: on the device's thread, from the pictures in the queue to the
answers of the pass, so with the copying of pictures into one array. What its callers wait beside
that (the queue, two threads that hand over) is told apart.

Example: `bench.timed("rooms-small-depth", 4)` queues four pictures and returns 0.0143.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from serving.node.device.batching import Batch, GreedyBatcher
from serving.node.device.executor import Executor
from serving.node.device.jobs import Job
from serving.node.device.process_tuning import schedule_as_batch
from serving.node.device.served import Image, Runtime

__all__ = ["ExecutorBench"]

T = TypeVar("T")


class _WholeBatches(GreedyBatcher[Job]):
    """Gives a batch once `size` queries wait, and none before."""

    size = 1

    def pop(self, now_s: float) -> Batch[Job] | None:
        """All that wait, if they are enough."""
        return super().pop(now_s) if self.waiting() >= self.size else None

    def wake_s(self, now_s: float) -> float | None:
        """Only an arrival makes a batch of what is too little."""
        return super().wake_s(now_s) if self.waiting() >= self.size else None


class ExecutorBench:
    """An executor on an event loop of its own thread, as in a node.

    `load` makes the runtime of a model, `max_batch` is the largest batch that will be asked for.
    Close it at the end: it has threads.
    """

    def __init__(
        self,
        load: Callable[[str], Runtime],
        max_batch: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._batcher = _WholeBatches(max_batch)
        self._tasks: dict[str, tuple[str, ...]] = {}
        self._images: dict[str, Sequence[Image]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="loop", daemon=True)
        self._thread.start()
        self._executor = self._wait(self._start(load))
        self.last_hand_over_s = 0.0
        """what the callers of the last batch waited beside its pass"""

    def load(self, model: str, tasks: tuple[str, ...], images: Sequence[Image]) -> float:
        """Load `model`, whose batches are to be of `images` (h, w, 3 each), and return the seconds
        it took. Raises what loading raises."""
        self._tasks[model], self._images[model] = tasks, images
        return self._wait(self._executor.load(model))

    def unload(self, model: str) -> None:
        """Free it."""
        self._wait(self._executor.unload(model))

    def timed(self, model: str, size: int) -> float:
        """Run a batch of `size` pictures and return the seconds of its pass. Raises
        `RefusedError` where the device fails."""
        return self._wait(self._batch(model, size))

    def close(self) -> None:
        """End the executor and its threads, and free the models."""
        self._wait(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self, load: Callable[[str], Runtime]) -> Executor:
        # Pictures may come twice in a batch, and are to be computed twice then.
        return Executor(self._batcher, load, shared_passes=False, clock=self._clock)

    async def _stop(self) -> None:
        self._executor.close()

    async def _batch(self, model: str, size: int) -> float:
        images, tasks = self._images[model], self._tasks[model]
        self._batcher.size = size
        started_s = self._clock()
        answers = await asyncio.gather(
            *(
                self._executor.submit_all(model, tasks, images[place % len(images)])
                for place in range(size)
            )
        )
        spent_s = self._clock() - started_s
        compute_s = next(iter(answers[0].values())).compute_s
        self.last_hand_over_s = max(0.0, spent_s - compute_s)
        return compute_s

    def _run_loop(self) -> None:
        schedule_as_batch()
        self._loop.run_forever()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        found: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return found.result()
