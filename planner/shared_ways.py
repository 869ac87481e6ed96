"""Which ways the tasks of one image take together (F14): one rule, for routers and for plans.

Every task of a request has shares of the places that may answer it; what they leave of 1 is shed.
A request takes one place for each of its tasks, and over all requests every task keeps its shares.
As much as the shares allow, tasks are shed together, meet at one place, where one pass answers
them, and else pass the same links, which then carry their image once.

Example: `a` goes to a model at the edge with a share of .5 and to one at home with .5, `b` to the
same two with .3 and .7. Of ten images three have both tasks answered at the edge, five at home, and
two send `a` to the edge while `b` is answered at home: five passes at the edge, seven at home.

Of two tasks that are shed alike no other pairing of their shares has fewer passes at any place, or
fewer images on any link. Of three and more one may: .5 each at places 1 and 2, at 2 and 3, and at 1
and 3 meet two by two only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

__all__ = ["Hops", "lay_out"]

DUST = 1e-6
"""share below which it is rounding"""

Task = TypeVar("Task", bound=Hashable)
Place = TypeVar("Place", bound=Hashable)
Hops = tuple[Hashable | None, ...]
"""what an image passes on its way to a place, the last hop first, None where it does not pass such
a hop; as long for one place as for another"""


def lay_out(
    shares: Mapping[Task, Mapping[Place, float]], hops_of: Callable[[Place], Hops]
) -> list[tuple[dict[Task, Place], float]]:
    """Every way that requests for the tasks of `shares` take, with its share: a place for each
    task, or nothing for requests that are shed, as a whole, since one of their tasks is.

    Each step takes the way on which most tasks meet, as often as it is left.
    """
    left = {task: _with_shed(places) for task, places in shares.items()}
    ways: list[tuple[dict[Task, Place], float]] = []
    while all(left.values()):
        chosen = _meet(left, hops_of)
        share = min(left[task][place] for task, place in chosen.items())
        for task, place in chosen.items():
            left[task][place] -= share
            if left[task][place] < DUST:
                del left[task][place]
        answered = {task: place for task, place in chosen.items() if place is not None}
        ways.append((answered if len(answered) == len(chosen) else {}, share))
    return ways


def _with_shed(places: Mapping[Place, float]) -> dict[Place | None, float]:
    """The shares that count, that of what is shed (None) last."""
    shed = 1.0 - sum(places.values())
    found: dict[Place | None, float] = {
        place: share for place, share in places.items() if share > DUST
    }
    if shed > DUST:
        found[None] = shed
    return found


def _meet(
    left: Mapping[Task, Mapping[Place | None, float]], hops_of: Callable[[Place], Hops]
) -> dict[Task, Place | None]:
    """A place for each task."""
    chosen: dict[Task, Place | None] = {}
    while len(chosen) < len(left):
        free = {task: places for task, places in left.items() if task not in chosen}
        best = _best(list(free.values()), list(chosen.values()), hops_of)
        chosen.update({task: best for task, places in free.items() if best in places})
    return chosen


def _best(
    free: Sequence[Mapping[Place | None, float]],
    chosen: Sequence[Place | None],
    hops_of: Callable[[Place], Hops],
) -> Place | None:
    """The next place to take; `free` are the shares of tasks that have none yet. Being shed comes
    first, since one task that is shed takes the others with it; then the place that most tasks can
    take; of equals the one whose links most others can pass as well, or pass already."""
    found: dict[Place | None, list[float]] = {}
    for places in free:
        for place, share in places.items():
            found.setdefault(place, []).append(share)
    passing: Counter[Hashable] = Counter()
    reached: list[Iterable[Place | None]] = [*free, *([place] for place in chosen)]
    for several in reached:
        passing.update({hop for place in several if place is not None for hop in hops_of(place)})

    def rank(place: Place | None) -> tuple[bool, int, tuple[int, ...], float]:
        hops = () if place is None else hops_of(place)
        others = tuple(0 if hop is None else passing[hop] - 1 for hop in hops)
        return place is None, len(found[place]), others, sum(found[place])

    return max(found, key=rank)
