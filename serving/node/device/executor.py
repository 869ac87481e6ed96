"""One device of a node: its models, its queues, and the one thread that drives it.

Queries come from the event loop (`submit_all`), wait in a batcher, run on the device thread and
come back to the loop with one hand-over a batch. Models are loaded on a thread of their own, so the
device goes on meanwhile. The loop watches both (`look`): what hangs or ends is logged, and who
waits for it is refused.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from math import inf

from serving.errors import RefusalReason, RefusedError, raise_first
from serving.logs.logger import NodeLogger
from serving.node.device.admission import find_refusal
from serving.node.device.batching import Batch, Batcher
from serving.node.device.device_faults import DeviceFaults
from serving.node.device.device_time import DeviceTime, HostTime
from serving.node.device.device_watch import (
    LOOK_S,
    DeviceHealth,
    DeviceWatch,
    Pass,
    Periodic,
    hang_bound_s,
)
from serving.node.device.jobs import (
    Job,
    answers_of,
    by_shape,
    check_rows,
    distinct_images,
    settle,
    stacked,
    times_of,
)
from serving.node.device.loaded_models import LoadedModels
from serving.node.device.loop_lag import LoopLag
from serving.node.device.observer import SILENT_DEVICE, DeviceObserver
from serving.node.device.process_tuning import schedule_as_usual
from serving.node.device.served import Image, Runtime, Served
from serving.node.device.stage_spans import add_stages
from serving.tracing.active import active_span

__all__ = ["Executor"]

CLOSING_S = 30.0
"""for so long the batch that runs is waited for when the node stops"""
_log = logging.getLogger(__name__)


class Executor:
    """Batching executor of one device.

    `submit_all` raises `RefusedError` where `find_refusal` does not admit the query, the model is
    not loaded, the deadline passes in the queue, or the device failed. A cancelled caller is taken
    out of the queue and never harms its batch-mates. `device_time` says when batches are done: in
    the host's own time, unless a device is emulated. `node` is the name that its log says.
    """

    def __init__(
        self,
        batcher: Batcher[Job],
        load: Callable[[str], Runtime],
        *,
        shared_passes: bool = True,
        max_waiting: int = 1024,
        clock: Callable[[], float] = time.monotonic,
        device_time: DeviceTime | None = None,
        observer: DeviceObserver = SILENT_DEVICE,
        node: str = "",
    ) -> None:
        self._log = NodeLogger(_log, node)
        self._batcher = batcher
        self.latency_model = batcher.latency_model
        self._shared_passes = shared_passes
        self._max_waiting = max_waiting
        self._clock = clock
        self._time = device_time or HostTime(clock)
        self._observer = observer
        self._models = LoadedModels(load, clock, observer, node)
        self._loop = asyncio.get_running_loop()
        self._lag = LoopLag(self._log)
        self._changed = threading.Condition(threading.Lock())
        self._stopped = False
        self._pass: Pass | None = None
        self._ended = False  # whether the device's thread has
        self._watch = DeviceWatch(clock())
        self._told = DeviceHealth.WELL
        self._free_s = 0.0
        self._pushed_s: dict[str, float] = {}
        """when the latest query of a model was queued"""
        self._faults = DeviceFaults()
        self.busy_s = 0.0
        self.batches = 0
        self._thread = threading.Thread(target=self._drive, name="device", daemon=True)
        self._thread.start()
        self._looks = Periodic(LOOK_S, self.look)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that are loaded and not about to go."""
        return self._models.ready

    @property
    def health(self) -> DeviceHealth:
        """See `Device.health`."""
        ended = self._ended and not self._stopped
        return self._watch.health(ended, self._faults.failing, self._faults.lost)

    @property
    def needs_new_process(self) -> bool:
        """See `Device.needs_new_process`."""
        return self._faults.need_new_process(self.health, self._clock())

    def look(self) -> None:
        """Find out whether the device still runs, and comes back from its batch.

        Where it does not, its callers and those who wait are refused, and so are those to come
        until it is back. Called by a timer, and when a batch that was given up comes back.
        """
        if self._stopped:
            return
        self._ended = self._ended or not self._thread.is_alive()
        self._watch.look(self._pass, self._clock())
        health = self.health
        if not health.answers:
            refusal = RefusedError(RefusalReason.DEVICE_FAILED, health.sentence)
            settle([(job, refusal) for job in self._all_jobs()])
        if self._ended:
            self._pass = None  # no thread is left to end it
        if health is not self._told:
            self._tell(health)

    @property
    def late_batches(self) -> int:
        """Batches that came later than from the device that is emulated."""
        return self._time.late_batches

    @property
    def waiting(self) -> dict[str, int]:
        """Queries queued, by loaded model."""
        with self._changed:
            return {model: self._batcher.waiting(model) for model in self._models.loaded}

    def learn(self, model: str, size: int, spent_s: float) -> None:
        """Take in what a batch took that ran elsewhere, such as a rehearsal."""
        with self._changed:
            self._batcher.latency_model.learn(model, size, spent_s)

    async def load(self, model: str) -> float:
        """See `LoadedModels.load`; 0 seconds if it was there."""
        try:
            spent_s = await self._models.load(model)
        except Exception as error:
            self._faults.load_failed(error, self._clock())
            self.look()
            raise
        if spent_s is not None:
            self._faults.loaded()
            self.look()
        return spent_s or 0.0

    async def unload(self, model: str) -> float:
        """Take no more queries of `model`, let those queued or running finish, then free it;
        returns the seconds it took."""
        return await self._models.unload(model, self._holds)

    def check(self, model: str, deadline_s: float | None = None) -> None:
        """Raise the `RefusedError` that a query which arrived now would meet."""
        raise_first([self.refusal(model, inf if deadline_s is None else deadline_s)])

    def refusal(self, model: str, deadline_s: float = inf) -> RefusedError | None:
        """What a query that arrived now would be refused with; None if it would be queued."""
        if not self._models.is_ready(model):
            words = f"model {model!r} is not loaded here"
            return RefusedError(RefusalReason.MODEL_NOT_LOADED, words)
        if not self._told.answers:
            return RefusedError(RefusalReason.DEVICE_FAILED, self._told.sentence)
        with self._changed:
            if self._stopped:
                return RefusedError(RefusalReason.STOPPING, "the node is shutting down")
            now_s = self._clock()
            since_s = now_s - self._pushed_s.get(model, -inf)
            return find_refusal(
                self._batcher, model, now_s, self._free_s, deadline_s, self._max_waiting, since_s
            )

    async def submit_all(
        self, model: str, tasks: tuple[str, ...], image: Image, deadline_s: float | None = None
    ) -> dict[str, Served]:
        """Queue one image for `tasks` of `model`, which share a pass, and wait for the answers."""
        self.check(model, deadline_s)
        future: asyncio.Future[dict[str, Served]] = self._loop.create_future()
        job = Job(tasks, image, future)
        with self._changed:
            now_s = self._pushed_s[model] = self._clock()
            if deadline_s is None or self._batcher.never_fits(model):  # a probe is to be run
                deadline_s = inf
            self._batcher.push(model, job, now_s, deadline_s)
            self._changed.notify()
        try:
            served = await future
            span = active_span()
            if span is not None:
                add_stages(span, model, now_s, served)
            return served
        except asyncio.CancelledError:
            with self._changed:
                self._batcher.remove(job)
            raise
        finally:
            del job, future  # which hold the exception that holds this frame (`raise_first`)

    def close(self) -> None:
        """Stop the device thread; queries still queued are refused. A batch that does not come back
        is left to the end of the process, with the models."""
        self._lag.stop()
        self._looks.stop()
        self._models.stop()
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(timeout=0 if self._told is DeviceHealth.HUNG else CLOSING_S)
        refusal = RefusedError(RefusalReason.STOPPING, "the node is shutting down")
        self._hand_over(settle, [(job, refusal) for job in self._all_jobs()])
        if self._thread.is_alive():
            self._log.error("the node stops, though the device does not come back from its batch")
            return
        self._models.close()

    def _all_jobs(self) -> list[Job]:
        """The jobs of the pass, which is given up, and those that wait, which are taken out."""
        with self._changed:
            waiting = self._batcher.take_all()
            if self._pass is None:
                return waiting
            self._pass.given_up = True
            return [*self._pass.jobs, *waiting]

    def _tell(self, health: DeviceHealth) -> None:
        self._told = health
        well = health is DeviceHealth.WELL
        say = self._log.warning if well else self._log.error
        say("%s%s", health.sentence, " again" if well else "")
        self._observer.on_device(health)

    def _holds(self, model: str) -> bool:
        """Whether queries of `model` wait or run."""
        with self._changed:
            running = self._pass is not None and self._pass.model == model
            return running or self._batcher.waiting(model) > 0

    def _drive(self) -> None:
        """The device's thread."""
        try:
            schedule_as_usual()
            self._run_batches()
        except BaseException:  # noqa: BLE001
            # Whatever ends the thread, its node must not go on as if it had a device.
            self._log.critical("the device's thread ends", exc_info=True)
        finally:
            self._ended = True
            self._hand_over(self.look)

    def _run_batches(self) -> None:
        while (batch := self._take()) is not None:
            for part in by_shape(batch):
                if not self._run_watched(part, batch.items):
                    break
            with self._changed:
                self._pass = None
            del batch, part  # their pictures, while it waits for the next

    def _take(self) -> Batch[Job] | None:
        with self._changed:
            batch = self._next_batch()
            if batch is not None:
                self._pass = self._make_pass(batch, batch.items)
            return batch

    def _make_pass(self, part: Batch[Job], jobs: Sequence[Job]) -> Pass:
        estimate_s = self._batcher.latency_model.batch_s(part.model, len(part.items))
        return Pass(part.model, jobs, hang_bound_s(estimate_s))

    def _run_watched(self, part: Batch[Job], jobs: Sequence[Job]) -> bool:
        """Run one pass of a batch with `jobs`; False once the batch was given up."""
        with self._changed:
            given_up = self._pass is not None and self._pass.given_up
            running = self._pass = self._make_pass(part, jobs)
            running.given_up = given_up
        if given_up:
            return False
        try:
            self._run(part, running)
        finally:
            running.ended = True
        running.jobs = ()  # and their pictures, which the watch does not need
        if running.given_up:
            self._hand_over(self.look)
        return not running.given_up

    def _next_batch(self) -> Batch[Job] | None:
        """Wait (holding the lock) until the batcher gives a batch; None once stopped."""
        while not self._stopped:
            now_s = self._free_s = self._clock()
            if late := self._batcher.take_late(now_s):
                message = "the deadline passed while the query waited"
                refusal = RefusedError(RefusalReason.DEADLINE, message)
                self._hand_over(settle, [(job, refusal) for job in late])
            batch = self._batcher.pop(now_s)
            if batch is not None:
                self._free_s = now_s + self._batcher.latency_model.batch_s(
                    batch.model, len(batch.items)
                )
                return batch
            wake_s = self._batcher.wake_s(now_s)
            self._changed.wait(None if wake_s is None else max(0.0, wake_s - now_s))
        return None

    def _run(self, batch: Batch[Job], running: Pass) -> None:
        self._time.begin(batch.ready_s)
        images, rows = distinct_images(batch.items, self._shared_passes)
        size = len(images)
        try:
            answers = self._models.runtime(batch.model).run(stacked(images))
            check_rows(answers, size)
        except Exception as error:  # noqa: BLE001
            # A failing batch is refused to its own callers and must not end the device thread.
            self.busy_s += self._time.end(batch.model, size).busy_s
            self._faults.batch_failed(error, self._clock())
            if self._faults.lost:
                self._hand_over(self.look)
            key, what = (batch.model, type(error)), "model %s failed on a batch of %d images"
            self._log.limited(logging.ERROR, key, what, batch.model, size, exc_info=True)
            refusal = RefusedError(RefusalReason.DEVICE_FAILED, f"{batch.model}: {error}")
            self._hand_over(settle, [(job, refusal) for job in batch.items])
            return
        started_s, compute_s, busy_s = self._time.end(batch.model, size)
        self.busy_s += busy_s
        self.batches += 1
        if failed := self._faults.batch_answered():
            self._log.warning("the device answers again, after %d failed batches", failed)
        if compute_s <= running.bound_s:  # else it hung, or the process was stopped meanwhile
            self.learn(batch.model, size, compute_s)
        times = times_of(batch, size, started_s, compute_s)
        served = answers_of(batch, rows, answers, times)

        def hand_back() -> None:
            settle(served)
            self._loop.call_soon(self._time.handed, started_s + busy_s)  # after their callers
            with self._changed:
                # Where the loop is late, queries waited before they were known of.
                spent_s = self._clock() - batch.arrived_s[0] + self._lag.lag_s
                self._batcher.answered(spent_s)
            self._observer.on_batch(
                batch.model, size, batch.release, times.queue_s, times.batch_wait_s, compute_s
            )

        self._hand_over(hand_back)

    def _hand_over(self, call: Callable[..., None], *arguments: object) -> None:
        """Have the event loop do `call`, unless it ended before its node was closed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)
