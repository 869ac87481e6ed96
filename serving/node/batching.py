"""When queued queries become batches: the decision, without threads, clocks or devices.

The live executor and the simulator drive the same objects. A batcher is told of arrivals with
their times and asked, whenever the device is free, for the next batch.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from cluster.topology import Batching

__all__ = ["Batch", "Batcher", "GreedyBatcher", "WindowBatcher", "make_batcher"]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Batch(Generic[Item]):
    """Queries of one model that go through the device together."""

    model: str
    items: tuple[Item, ...]
    arrived_s: tuple[float, ...]
    closed_s: float
    """when the batch stopped taking queries"""


class Batcher(Protocol[Item]):
    """Queues per model and the rule that releases them."""

    def push(self, model: str, item: Item, now_s: float) -> None:
        """Queue `item`, which arrived at `now_s` (never decreasing)."""
        ...

    def pop(self, now_s: float) -> Batch[Item] | None:
        """The batch a free device should run at `now_s`, or None."""
        ...

    def wake_s(self, now_s: float) -> float | None:
        """When `pop` may next give a batch if nothing arrives; None if only an arrival can."""
        ...

    def waiting(self, model: str | None = None) -> int:
        """Queries queued, of one model or of all."""
        ...

    def remove(self, item: Item) -> bool:
        """Take a queued item out (its caller has gone); False if it is queued no more."""
        ...


class GreedyBatcher(Generic[Item]):
    """Work-conserving: a free device takes what is queued, the longest-waiting model first."""

    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch
        self._queues: dict[str, deque[tuple[float, Item]]] = {}

    def push(self, model: str, item: Item, now_s: float) -> None:
        """Queue `item` under `model`."""
        self._queues.setdefault(model, deque()).append((now_s, item))

    def pop(self, now_s: float) -> Batch[Item] | None:
        """Up to `max_batch` queries of the model whose oldest query has waited longest."""
        if not self._queues:
            return None
        model = min(self._queues, key=lambda name: self._queues[name][0][0])
        queue = self._queues[model]
        taken = [queue.popleft() for _ in range(min(self._max_batch, len(queue)))]
        if not queue:
            del self._queues[model]
        return _batch(model, taken, now_s)

    def wake_s(self, now_s: float) -> float | None:
        """Now if anything is queued."""
        return now_s if self._queues else None

    def waiting(self, model: str | None = None) -> int:
        """Queries queued, of one model or of all."""
        if model is not None:
            return len(self._queues.get(model, ()))
        return sum(len(queue) for queue in self._queues.values())

    def remove(self, item: Item) -> bool:
        """Take a queued item out."""
        for model, queue in self._queues.items():
            if _discard(queue, item):
                if not queue:
                    del self._queues[model]
                return True
        return False


class WindowBatcher(Generic[Item]):
    """The paper's gated windows (F9): what arrives in one window of T_b runs in the next.

    Windows are [k T_b, (k+1) T_b) on the clock's own zero. When one closes, its queries become
    one batch a model (more where a model has over `max_batch`), which run one after another in
    order of arrival; a query is answered within 2 T_b if that work fits in T_b.
    """

    def __init__(self, window_s: float, max_batch: int) -> None:
        if window_s <= 0:
            raise ValueError(f"window_s must be positive, got {window_s}")
        self._window_s = window_s
        self._max_batch = max_batch
        self._open: dict[str, deque[tuple[float, Item]]] = {}
        self._open_index = 0
        self._closed: deque[tuple[str, deque[tuple[float, Item]], float]] = deque()

    def push(self, model: str, item: Item, now_s: float) -> None:
        """Queue `item` in the window that `now_s` falls in."""
        self._roll(now_s)
        if not self._open:
            self._open_index = int(now_s // self._window_s)
        self._open.setdefault(model, deque()).append((now_s, item))

    def pop(self, now_s: float) -> Batch[Item] | None:
        """The next batch of the windows that have closed."""
        self._roll(now_s)
        while self._closed:
            model, queue, closed_s = self._closed[0]
            taken = [queue.popleft() for _ in range(min(self._max_batch, len(queue)))]
            if not queue:
                self._closed.popleft()
            if taken:
                return _batch(model, taken, closed_s)
        return None

    def wake_s(self, now_s: float) -> float | None:
        """Now if a closed window has work left, else the end of the open window if it has any."""
        if self._closed:
            return now_s
        return self._end_s if self._open else None

    def waiting(self, model: str | None = None) -> int:
        """Queries queued, of one model or of all."""
        queues = [*self._open.items(), *((name, queue) for name, queue, _ in self._closed)]
        return sum(len(queue) for name, queue in queues if model in (None, name))

    def remove(self, item: Item) -> bool:
        """Take a queued item out."""
        queues = [*self._open.values(), *(queue for _, queue, _ in self._closed)]
        return any(_discard(queue, item) for queue in queues)

    @property
    def _end_s(self) -> float:
        return (self._open_index + 1) * self._window_s

    def _roll(self, now_s: float) -> None:
        if self._open and now_s >= self._end_s:
            self._closed.extend((m, queue, self._end_s) for m, queue in self._open.items())
            self._open = {}


def make_batcher(batching: Batching, window_s: float, max_batch: int) -> Batcher[Item]:
    """The batcher that a node of a topology asks for."""
    if batching is Batching.WINDOW:
        return WindowBatcher(window_s, max_batch)
    return GreedyBatcher(max_batch)


def _batch(model: str, taken: list[tuple[float, Item]], closed_s: float) -> Batch[Item]:
    return Batch(
        model=model,
        items=tuple(item for _, item in taken),
        arrived_s=tuple(arrived_s for arrived_s, _ in taken),
        closed_s=closed_s,
    )


def _discard(queue: deque[tuple[float, Item]], item: Item) -> bool:
    for entry in queue:
        if entry[1] is item:
            queue.remove(entry)
            return True
    return False
