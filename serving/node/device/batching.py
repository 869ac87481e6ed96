"""When queued queries become batches: the decision, without threads, clocks or devices.

The live executor and the simulator drive the same objects. A batcher is told of arrivals with
their times and asked, whenever the device is free, for the next batch. It also says by when a new
query would be done, from what batches took so far: admission rests on that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from math import inf
from typing import Generic, NamedTuple, TypeVar

from cluster.topology import Batching
from planner.latency_bound import window_bound_s
from serving.named_tuples import made
from serving.node.device.admission_margin import AdmissionMargin
from serving.node.device.latency_model import LatencyModel

__all__ = [
    "Batch", "Batcher", "Forecast", "GreedyBatcher", "Release", "WindowBatcher", "make_batcher",
]  # fmt: skip

Item = TypeVar("Item")


class Release(StrEnum):
    """Why a batch stopped taking queries."""

    FULL = "full"
    """it reached the largest size that memory allows"""
    WINDOW = "window"
    """its window closed"""
    FREE = "free"
    """the device was free and nothing more was queued"""
    DEADLINE = "deadline"
    """one more image would have made one of its queries late"""


FULL, WINDOW, FREE = Release.FULL, Release.WINDOW, Release.FREE  # to look them up once


class Batch(NamedTuple, Generic[Item]):
    """Queries of one model that go through the device together."""

    model: str
    items: tuple[Item, ...]
    arrived_s: tuple[float, ...]
    closed_s: float
    """when the batch stopped taking queries"""
    release: Release
    ready_s: float
    """when a free device would have begun it"""


class Forecast(NamedTuple):
    """What admission must know of a query before it is queued."""

    done_s: float
    """when it would be done"""
    excess_s: float
    """by how much it, or a query that it delays, would miss 2 T_b; negative if none would"""


_Entry = tuple[Item, float, float]
"""an item, when it arrived, and after when it is worth nothing: one is made for every query"""
_Queue = deque[_Entry[Item]]


class Batcher(ABC, Generic[Item]):
    """Queues per model and the rule that releases them. Times never decrease between calls.

    How a batcher keeps its queues is its own; what is done with them is the same for all.
    """

    def __init__(self, max_batch: int, promised_s: float, margin: AdmissionMargin) -> None:
        self._max_batch = max_batch
        self._promised_s = promised_s
        self._margin = margin
        self._hurried = False  # whether any query ever came with a deadline
        self._count = 0  # of all queues
        self.latency_model = LatencyModel()
        """what batches took; the owner teaches it"""

    @abstractmethod
    def push(self, model: str, item: Item, now_s: float, deadline_s: float = inf) -> None:
        """Queue `item`, which arrived at `now_s` and is worth nothing after `deadline_s`."""

    @abstractmethod
    def pop(self, now_s: float) -> Batch[Item] | None:
        """The batch a free device should run at `now_s`, or None."""

    @abstractmethod
    def wake_s(self, now_s: float) -> float | None:
        """When `pop` may next give a batch if nothing arrives; None if only an arrival can."""

    @abstractmethod
    def forecast(self, model: str, now_s: float, free_s: float) -> Forecast:
        """What would become of a query of `model` that arrives at `now_s`, on a device that is
        busy until `free_s`."""

    @abstractmethod
    def _queues(self) -> Iterator[tuple[str, _Queue[Item]]]:
        """Every queue with its model's name."""

    def waiting(self, model: str | None = None) -> int:
        """Queries queued, of one model or of all."""
        if model is None:
            return self._count
        return sum(len(queue) for name, queue in self._queues() if model == name)

    def remove(self, item: Item) -> bool:
        """Take a queued item out (its caller has gone); False if it is queued no more."""
        for _, queue in self._queues():
            for entry in queue:
                if entry[0] is item:
                    queue.remove(entry)
                    self._count -= 1
                    return True
        return False

    def take_all(self) -> list[Item]:
        """Take out everything that is queued: no batch will come of it."""
        items = [item for _, queue in self._queues() for item, _, _ in queue]
        for _, queue in self._queues():
            queue.clear()
        self._count = 0
        return items

    def take_late(self, now_s: float) -> list[Item]:
        """Take out the queued items that could not make their deadline even alone."""
        late: list[Item] = []
        if not self._hurried:
            return late
        for model, queue in self._queues():
            last_s = now_s + self.latency_model.batch_s(model, 1)
            hopeless = [entry for entry in queue if entry[2] < last_s]
            for entry in hopeless:
                queue.remove(entry)
                late.append(entry[0])
        self._count -= len(late)
        return late

    def never_fits(self, model: str) -> bool:
        """Whether one query of `model` alone would not be answered in time, by what is known."""
        return self.latency_model.batch_s(model, 1) > self._margin.share * self._promised_s

    def answered(self, spent_s: float) -> None:
        """A batch's oldest query had its answer `spent_s` after it arrived: corrects how much of
        the promise may be filled."""
        self._margin.observe(spent_s, self._promised_s)

    def _to_come(self, queues: Iterable[tuple[str, _Queue[Item]]]) -> list[tuple[str, int, float]]:
        """The batches that `queues` will make: model, size, arrival of the oldest query."""
        return [
            (model, min(self._max_batch, len(queue) - first), queue[first][1])
            for model, queue in queues
            for first in range(0, len(queue), self._max_batch)
        ]

    def _join(
        self, to_come: list[tuple[str, int, float]], model: str, now_s: float, begin_s: float
    ) -> Forecast:
        """What one more query of `model` does to the batches `to_come` from `begin_s` on: its own
        and those after it have to be done within the promise since their oldest query came."""
        promised_s = self._margin.share * self._promised_s
        joined = -1
        for index, (name, size, _) in enumerate(to_come):
            if name == model and size < self._max_batch:
                joined = index
        if joined < 0:
            joined = len(to_come)
            to_come.append((model, 0, now_s))
        end_s, done_s, excess_s = begin_s, begin_s, -inf
        for index, (name, size, oldest_s) in enumerate(to_come):
            end_s += self.latency_model.batch_s(name, size + (index == joined))
            if index >= joined:
                excess_s = max(excess_s, end_s - oldest_s - promised_s)
            if index == joined:
                done_s = end_s
        return made(Forecast, (done_s, excess_s))

    def _append(self, queue: _Queue[Item], item: Item, now_s: float, deadline_s: float) -> None:
        if deadline_s < inf:
            self._hurried = True
        self._count += 1
        queue.append((item, now_s, deadline_s))

    def _cut(
        self,
        model: str,
        queue: _Queue[Item],
        now_s: float,
        closed_s: float | None,
        drained: Release,
    ) -> Batch[Item]:
        """Take a batch from the head of `queue`, as large as memory and its deadlines allow. One
        that no window closed at `closed_s` closes now, and was ready when its last query came."""
        size, release = len(queue), drained
        if size >= self._max_batch:
            size, release = self._max_batch, FULL
        if self._hurried:
            fitting = self._fitting(model, queue, now_s, size)
            if fitting < size:
                size, release = fitting, Release.DEADLINE
        items: tuple[Item, ...]
        arrived_s: tuple[float, ...]
        if size == 1:  # as most batches
            item, came_s, _ = queue.popleft()
            items, arrived_s = (item,), (came_s,)
        else:
            items, arrived_s, _ = zip(*[queue.popleft() for _ in range(size)], strict=True)
        self._count -= size
        if closed_s is None:
            return made(Batch, (model, items, arrived_s, now_s, release, arrived_s[-1]))
        return made(Batch, (model, items, arrived_s, closed_s, release, closed_s))

    def _fitting(self, model: str, queue: _Queue[Item], now_s: float, size: int) -> int:
        earliest_s = inf
        for count, (_, _, deadline_s) in enumerate(islice(queue, size)):
            earliest_s = min(earliest_s, deadline_s)
            if count and now_s + self.latency_model.batch_s(model, count + 1) > earliest_s:
                return count
        return size


class GreedyBatcher(Batcher[Item]):
    """Work-conserving: a free device takes what is queued, the longest-waiting model first."""

    def __init__(self, max_batch: int, window_s: float = inf) -> None:
        super().__init__(
            max_batch, window_bound_s(window_s), AdmissionMargin(most=0.85, least=0.3, retreat=0.8)
        )
        self._by_model: dict[str, _Queue[Item]] = {}

    def push(self, model: str, item: Item, now_s: float, deadline_s: float = inf) -> None:
        """Queue `item` under `model`."""
        queue = self._by_model.get(model)
        if queue is None:
            queue = self._by_model[model] = deque()
        self._append(queue, item, now_s, deadline_s)

    def pop(self, now_s: float) -> Batch[Item] | None:
        """Up to `max_batch` queries of the model whose oldest query has waited longest."""
        if not self._count:
            return None
        queued = [(queue[0][1], model) for model, queue in self._by_model.items() if queue]
        model = queued[0][1] if len(queued) == 1 else min(queued)[1]
        return self._cut(model, self._by_model[model], now_s, None, FREE)

    def wake_s(self, now_s: float) -> float | None:
        """Now if anything is queued."""
        return now_s if self._count else None

    def forecast(self, model: str, now_s: float, free_s: float) -> Forecast:
        """It joins the last batch of its model that has room; batches run in the order of their
        oldest queries, so it may make all that come after late."""
        queue = self._by_model.get(model)
        if queue is not None and len(queue) == self._count:
            return self._join_alone(queue, model, now_s, max(now_s, free_s))
        to_come = sorted(self._to_come(self._by_model.items()), key=lambda part: part[2])
        return self._join(to_come, model, now_s, max(now_s, free_s))

    def _join_alone(
        self, queue: _Queue[Item], model: str, now_s: float, begin_s: float
    ) -> Forecast:
        """`_join` where nothing else waits, which is asked for every query under overload."""
        full, rest = divmod(len(queue), self._max_batch)
        end_s = begin_s + self.latency_model.batch_s(model, rest + 1)
        if full:
            end_s += full * self.latency_model.batch_s(model, self._max_batch)
        oldest_s = queue[-rest][1] if rest else now_s
        excess_s = end_s - oldest_s - self._margin.share * self._promised_s
        return made(Forecast, (end_s, excess_s))

    def _queues(self) -> Iterator[tuple[str, _Queue[Item]]]:
        return iter(self._by_model.items())


class WindowBatcher(Batcher[Item]):
    """The paper's gated windows (F9): what arrives in one window of T_b runs in the next.

    Windows are [k T_b, (k+1) T_b) on the clock's own zero. When one closes, its queries become
    one batch a model (more where a model has over `max_batch`), which run one after another in
    order of arrival; a query is answered within 2 T_b if that work fits in T_b.
    """

    def __init__(self, window_s: float, max_batch: int) -> None:
        if window_s <= 0:
            raise ValueError(f"window_s must be positive, got {window_s}")
        super().__init__(
            max_batch, window_bound_s(window_s), AdmissionMargin(most=1.0, least=0.75, retreat=0.97)
        )
        self._window_s = window_s
        self._open: dict[str, _Queue[Item]] = {}
        self._open_index = 0
        self._closed: deque[tuple[str, _Queue[Item], float]] = deque()

    def push(self, model: str, item: Item, now_s: float, deadline_s: float = inf) -> None:
        """Queue `item` in the window that `now_s` falls in."""
        self._roll(now_s)
        queue = self._open.get(model)
        if not queue:
            self._open.pop(model, None)  # a model's turn is that of its first query still here
            queue = self._open[model] = deque()
        self._append(queue, item, now_s, deadline_s)

    def pop(self, now_s: float) -> Batch[Item] | None:
        """The next batch of the windows that have closed."""
        self._roll(now_s)
        while self._closed:
            model, queue, closed_s = self._closed[0]
            if queue:
                return self._cut(model, queue, now_s, closed_s, WINDOW)
            self._closed.popleft()
        return None

    def wake_s(self, now_s: float) -> float | None:
        """Now if a closed window has work left, else the end of the open window if it has any."""
        if any(queue for _, queue, _ in self._closed):
            return now_s
        return self._end_s if any(self._open.values()) else None

    def forecast(self, model: str, now_s: float, free_s: float) -> Forecast:
        """Its window's work begins when it closes and the windows before are worked off; it may
        make every batch of the window late that runs after its own."""
        self._roll(now_s)
        closed = ((name, len(queue)) for name, queue, _ in self._closed)
        ready_s = max(now_s, free_s) + self.latency_model.work_s(closed, self._max_batch)
        to_come = self._to_come(self._open.items())
        return self._join(to_come, model, now_s, max(ready_s, self._end_s))

    def _queues(self) -> Iterator[tuple[str, _Queue[Item]]]:
        yield from ((model, queue) for model, queue, _ in self._closed)
        yield from self._open.items()

    @property
    def _end_s(self) -> float:
        return (self._open_index + 1) * self._window_s

    def _roll(self, now_s: float) -> None:
        if now_s < self._end_s:
            return
        self._closed.extend((m, queue, self._end_s) for m, queue in self._open.items() if queue)
        self._open = {}
        self._open_index = int(min(now_s, 1e15) // self._window_s)


def make_batcher(batching: Batching, window_s: float, max_batch: int) -> Batcher[Item]:
    """The batcher that a node of a topology asks for."""
    if batching is Batching.WINDOW:
        return WindowBatcher(window_s, max_batch)
    return GreedyBatcher(max_batch, window_s)
