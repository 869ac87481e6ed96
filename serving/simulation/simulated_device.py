"""A device that computes nothing: the live batcher and admission, driven by timers.

A batch takes what its profile measured (F15: linear between the measured batch sizes): after a
pause of `PAUSE_S` what it takes after one, straight after another batch what it takes then, and
something between the two after a shorter pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from math import inf
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from cluster.topology import Node
from models.runtime.device_errors import DeviceLostError
from profiling.batch_latency import after_idle_s
from profiling.profile import Profiles
from serving.errors import RefusalReason, RefusedError
from serving.named_tuples import made
from serving.node.device.admission import find_refusal
from serving.node.device.batching import Batch, Batcher, make_batcher
from serving.node.device.device_faults import DeviceFaults
from serving.node.device.device_switch import LOST, DeviceSwitch
from serving.node.device.device_watch import DeviceHealth
from serving.node.device.served import Image, Served
from serving.node.server import REHEARSED
from serving.simulation.drawn_scatter import BatchScatter
from serving.simulation.loop_clock import LoopClock
from serving.simulation.shared_cores import CoreJob, SharedCores

__all__ = ["BatchLatency", "BatchLog", "SimulatedDevice", "profiled_latency"]

BatchLatency = Callable[[str, str, int], float]
"""(node, model, batch size) -> device seconds"""
NO_PREDICTION = np.empty(0)


def profiled_latency(profiles: Profiles, *, straight: bool = False) -> BatchLatency:
    """Median latency as measured, linear between the measured sizes and beyond the last: after a
    pause, or `straight` after another batch."""

    @cache  # every batch asks, and of nodes, models and sizes there are few
    def latency_s(node: str, model: str, batch: int) -> float:
        profile = profiles.find(node, model)
        if profile is None:
            raise KeyError(f"{model!r} was not profiled on {node!r}")
        return profile.straight_batch_s(batch) if straight else profile.batch_s(batch)

    return latency_s


class BatchLog(NamedTuple):
    """One batch that a simulated device ran."""

    model: str
    size: int
    closed_s: float
    started_s: float
    spent_s: float
    release: str


class _Job:
    """The tasks of a query, and what its caller waits for. It is found again by its identity."""

    __slots__ = ("future", "tasks")

    def __init__(self, tasks: tuple[str, ...], future: asyncio.Future[dict[str, Served]]) -> None:
        self.tasks = tasks
        self.future = future


class SimulatedDevice:
    """`Device` on the clock of the running event loop.

    `latency_s` says what a batch takes, `straight_s` what one takes straight after another (the
    same, if left out), `load_s` what loading each model takes, in seconds: one that is not named
    takes none. `scatter` draws what one batch takes ÷ that; 1, if left out. Batches run on `cores`,
    on some of their own if left out. `slowdown` may be changed at any time: batches that begin then
    take so many times as long.
    """

    def __init__(
        self,
        node: Node,
        latency_s: BatchLatency,
        max_waiting: int,
        load_s: Mapping[str, float] = MappingProxyType({}),
        straight_s: BatchLatency | None = None,
        scatter: BatchScatter | None = None,
        cores: SharedCores | None = None,
    ) -> None:
        self._node = node
        self._latency_s = latency_s
        self._straight_s = straight_s or latency_s
        self._scatter = scatter
        self._cores = cores or SharedCores()
        self._clock = LoopClock()
        self._idle_from_s = -inf
        """when the latest batch ended"""
        self._max_waiting = max_waiting
        self._load_s = load_s
        self._batcher: Batcher[_Job] = make_batcher(node.batching, node.window_s, node.max_batch)
        self.latency_model = self._batcher.latency_model
        self._models: dict[str, None] = {}
        self._leaving: set[str] = set()
        self._running: Batch[_Job] | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._finishing: CoreJob | None = None
        self._left_s: float | None = None
        """of the batch that runs, while the process stands still"""
        self._free_s = 0.0
        self._pushed_s: dict[str, float] = {}
        self._started_s = self._work_s = 0.0
        self._stopped = False
        self._stands = False
        self.late_batches = 0  # time is the profile's here, always
        self._faults = DeviceFaults()
        self.switch = DeviceSwitch()
        """takes the device away: what runs fails, and so does what begins"""
        self.slowdown = 1.0
        self.busy_s = 0.0
        self.batches = 0
        self.log: list[BatchLog] = []

    @property
    def models(self) -> tuple[str, ...]:
        """See `Device.models`."""
        return tuple(model for model in self._models if model not in self._leaving)

    @property
    def health(self) -> DeviceHealth:
        """See `Device.health`; a simulated device is well unless it is lost."""
        return DeviceHealth.LOST if self._faults.lost else DeviceHealth.WELL

    @property
    def needs_new_process(self) -> bool:
        """See `Device.needs_new_process`."""
        return self._faults.need_new_process(self.health, self._clock())

    @property
    def waiting(self) -> dict[str, int]:
        """See `Device.waiting`."""
        return {model: self._batcher.waiting(model) for model in self._models}

    def hold(self, model: str) -> None:
        """Have `model` loaded, in no time."""
        self._faults.loaded()
        self._models[model] = None
        for size in (1, min(REHEARSED, self._node.max_batch)):
            self._batcher.latency_model.learn(model, size, self._batch_s(model, size))

    async def load(self, model: str) -> float:
        """See `Device.load`. Raises `DeviceLostError` while the device is taken away."""
        while model in self._leaving:
            await asyncio.sleep(0.01)
        if model in self._models:
            return 0.0
        spent_s = self._load_s.get(model, 0.0)
        await asyncio.sleep(spent_s)
        try:
            self.switch.check()
        except DeviceLostError as error:
            self._faults.load_failed(error, self._clock())
            raise
        self.hold(model)
        return spent_s

    async def unload(self, model: str) -> float:
        """See `Device.unload`."""
        if model not in self._models:
            return 0.0
        begun_s = self._clock()
        self._leaving.add(model)
        while self._batcher.waiting(model) or (self._running and self._running.model == model):
            await asyncio.sleep(0.01)
        self._models.pop(model, None)
        self._leaving.discard(model)
        return self._clock() - begun_s

    def refusal(self, model: str, deadline_s: float = inf) -> RefusedError | None:
        """See `Device.refusal`."""
        return self._refusal_at(self._clock(), model, deadline_s)

    def _refusal_at(self, now_s: float, model: str, deadline_s: float) -> RefusedError | None:
        if model not in self._models or model in self._leaving:
            return RefusedError(
                RefusalReason.MODEL_NOT_LOADED, f"model {model!r} is not loaded here"
            )
        if self._stopped:
            return RefusedError(RefusalReason.STOPPING, "the node is shutting down")
        if self._faults.lost:
            return RefusedError(RefusalReason.DEVICE_FAILED, self.health.sentence)
        since_s = now_s - self._pushed_s.get(model, -inf)
        return find_refusal(
            self._batcher, model, now_s, self._free_s, deadline_s, self._max_waiting, since_s
        )

    async def submit_all(
        self, model: str, tasks: tuple[str, ...], image: Image, deadline_s: float | None = None
    ) -> dict[str, Served]:
        """See `Device.submit_all`. Predictions are empty."""
        latest_s = inf if deadline_s is None else deadline_s
        now_s = self._clock()
        refusal = self._refusal_at(now_s, model, latest_s)
        if refusal is not None:
            raise refusal
        future = self._clock.loop.create_future()
        job = _Job(tasks, future)
        if deadline_s is not None and self._batcher.never_fits(model):  # a probe is to be run
            latest_s = inf
        self._pushed_s[model] = now_s
        self._batcher.push(model, job, now_s, latest_s)
        if self._running is None:
            self._look()
        try:
            served: dict[str, Served] = await future
            return served
        except asyncio.CancelledError:
            self._batcher.remove(job)
            raise

    def stand_still(self) -> None:
        """Compute nothing until `go_on`, as when the process is stopped: a batch that runs is
        finished so much later."""
        self._stands = True
        self._cancel_wake()
        if self._finishing is not None:
            self._left_s = self._cores.stop(self._finishing)
            self._finishing = None

    def go_on(self) -> None:
        """Compute again."""
        self._stands = False
        if self._running is not None and self._left_s is not None:
            self._finishing = self._cores.begin(self._left_s, self._finish)
        self._left_s = None
        self._look()

    def close(self) -> None:
        """See `Device.close`."""
        self._stopped = True
        self._cancel_wake()
        while (batch := self._batcher.pop(inf)) is not None:
            _refuse(batch.items, RefusalReason.STOPPING)

    def _batch_s(self, model: str, size: int) -> float:
        return self.slowdown * self._latency_s(self._node.name, model, size)

    def _served_s(self, model: str, size: int, idle_s: float) -> float:
        """What a batch takes that begins when the device has been idle for so long."""
        straight_s = self.slowdown * self._straight_s(self._node.name, model, size)
        spent_s = after_idle_s(straight_s, self._batch_s(model, size), idle_s)
        return spent_s if self._scatter is None else spent_s * self._scatter(self._node.name, model)

    def _look(self) -> None:
        """Run the next batch if the device is free, or set a timer for when one may be ready."""
        if self._running is not None or self._stopped or self._stands:
            return
        now_s = self._clock()
        if late := self._batcher.take_late(now_s):
            _refuse(late, RefusalReason.DEADLINE)
        batch = self._batcher.pop(now_s)
        if batch is not None:
            if self._wake is not None:
                self._cancel_wake()
            self._start(batch)
            return
        wake_s = self._batcher.wake_s(now_s)
        if self._wake is not None and self._wake.when() == wake_s:
            return  # as nearly always: one more query for the window that is open
        self._cancel_wake()
        if wake_s is not None:
            self._wake = self._clock.loop.call_at(wake_s, self._wake_up)

    def _wake_up(self) -> None:
        self._wake = None
        self._look()

    def _start(self, batch: Batch[_Job]) -> None:
        if self.switch.lost:
            self._fail(batch)
            return
        now_s, size = self._clock(), len(batch.items)
        spent_s = self._served_s(batch.model, size, now_s - self._idle_from_s)
        self._running, self._started_s = batch, now_s
        self._free_s = now_s + self._batcher.latency_model.batch_s(batch.model, size)
        ran = (batch.model, size, batch.closed_s, now_s, spent_s, batch.release)
        self.log.append(made(BatchLog, ran))
        self._work_s = spent_s
        self._finishing = self._cores.begin(spent_s, self._finish)

    def _cancel_wake(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    def _finish(self) -> None:
        batch, started_s = self._running, self._started_s
        assert batch is not None
        self._running = self._finishing = None
        self._free_s = self._idle_from_s = self._clock()
        if self.switch.lost:
            self._fail(batch)
            return
        spent_s = self._free_s - started_s
        self.busy_s += self._work_s
        self.batches += 1
        size = len(batch.items)
        self._batcher.latency_model.learn(batch.model, size, spent_s)
        self._batcher.answered(self._free_s - batch.arrived_s[0])
        closed_s = batch.closed_s
        batch_wait_s = max(0.0, started_s - closed_s)
        for job, arrived_s in zip(batch.items, batch.arrived_s, strict=True):
            if not job.future.done():  # else its caller has gone
                queue_s = closed_s - arrived_s if closed_s > arrived_s else 0.0
                served = made(Served, (NO_PREDICTION, size, queue_s, batch_wait_s, spent_s))
                job.future.set_result(dict.fromkeys(job.tasks, served))
        self._look()

    def _fail(self, batch: Batch[_Job]) -> None:
        """`batch` finds the device lost; its callers and those who wait are refused."""
        self._faults.batch_failed(DeviceLostError(LOST), self._clock())
        _refuse(batch.items, RefusalReason.DEVICE_FAILED)
        _refuse(self._batcher.take_all(), RefusalReason.DEVICE_FAILED)


def _refuse(jobs: list[_Job] | tuple[_Job, ...], reason: RefusalReason) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(RefusedError(reason))
