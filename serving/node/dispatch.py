"""Where the asks of one image go from a node: its device, up a link, elsewhere if that fails."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from math import inf
from time import monotonic

from cluster.deadline_classes import base_task
from serving.errors import RefusalReason, RefusedError
from serving.logs.logger import NodeLogger
from serving.named_tuples import made
from serving.node.device.device import Device
from serving.node.device.served import Image
from serving.node.links.messages import AskOutcome, AskReply
from serving.node.links.uplink import Uplink
from serving.routing.queue_routing import QueueState
from serving.routing.router import Router
from serving.routing.routes import Ask, Target, frames_up, next_hop
from serving.tracing.active import active_span

__all__ = ["Dispatcher"]

MAX_TRIES = 3
"""other ways that a query is sent on after its own failed; ways that are known to be full are
passed over and do not count"""
AT_ONCE_S = 1e-3
"""a way that refused within this time took nothing of what the next one may take"""
_log = logging.getLogger(__name__)


@lru_cache
def _known(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """`tasks` as a model knows them, which knows nothing of their classes (F20)."""
    return tuple(dict.fromkeys(map(base_task, tasks)))


class Dispatcher:
    """The ways of a node.

    `place` is its (tier, name), `uplinks` its links by the node that they lead to, `bounds_s` the
    promised latency of an answer by the node that serves it; `served` counts answers by model here.
    """

    def __init__(
        self,
        place: tuple[str, str],
        device: Device,
        uplinks: Mapping[str, Uplink],
        router: Router,
        tasks_of: Callable[[str], Collection[str]],
        served: Counter[str],
        *,
        shared_passes: bool = True,
        bounds_s: Mapping[str, float] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._tier, self._node = place
        self._log = NodeLogger(_log, self._node)
        self._device = device
        self._uplinks = uplinks
        self._router = router
        self._tasks_of = tasks_of
        self._served = served
        self._shared_passes = shared_passes
        self._bounds_s = bounds_s or {}
        self._clock = clock

    async def dispatch(
        self,
        asks: tuple[Ask, ...],
        image: Image,
        deadline_s: float | None,
        spill_since_s: float | None = None,
    ) -> list[AskOutcome]:
        """An outcome for each ask; one that met a fault has been tried elsewhere.

        So has one whose way was full (spill-over), if `spill_since_s` says when the query arrived:
        the promise that was made then holds on the other way too.
        """
        why: list[RefusalReason | None] = [None]
        if len(asks) == 1:  # as nearly always: no task of its own
            outcomes = await self._send(asks, image, deadline_s)
            if isinstance(outcomes[0], AskReply):
                return outcomes
        else:
            settled = self._settle(asks, deadline_s, spill_since_s is not None)
            if isinstance(settled, RefusedError):
                return [settled] * len(asks)
            asks, why = tuple(ask for ask, _ in settled), [reason for _, reason in settled]
            outcomes = await self._send_parts(asks, image, deadline_s)
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, RefusedError):
                ask, reason = asks[index], outcome.reason
                if reason.is_fault:
                    outcome = await self._detour(ask, image, deadline_s, outcome)
                elif reason.is_full and spill_since_s is not None:
                    outcome = await self._spill(ask, image, deadline_s, outcome, spill_since_s)
            if why[index] is not None and isinstance(outcome, AskReply):
                outcome = outcome._replace(spilled=why[index])
            outcomes[index] = outcome
        return outcomes

    def refusal(self, target: Target) -> RefusedError | None:
        """What a query sent to `target` now would be refused with, as far as is known here; None
        where it would be tried, there or elsewhere."""
        if target.node != self._node:
            uplink = self._uplink_to(target)
            return None if uplink is None else uplink.refusal(target.node)
        refusal = self._device.refusal(target.model)
        return None if refusal is None or refusal.reason.is_fault else refusal

    def queue_state(self, target: Target, task: str) -> QueueState | None:
        """What a query of `task` would meet on its way to `target` now, as far as is known here;
        None if it would be refused."""
        bound_s = self._bounds_s.get(target.node, inf)
        if target.node == self._node:
            refusal = self._device.refusal(target.model)
            return QueueState(0.0, bound_s, seen=True) if refusal is None else None
        uplink = self._uplink_to(target)
        if uplink is None or uplink.room((Ask(target, (task,)),)) is not None:
            return None
        share = uplink.pacer.backlog_share(self._clock())
        backlog_s = share * uplink.pacer.limit_s
        return QueueState(share, bound_s + backlog_s, seen=target.node in self._uplinks)

    def answered(self, target: Target, spent_s: float, bound_s: float) -> None:
        """Take in that `target` answered a query of this client `spent_s` after it came, which was
        promised within `bound_s`."""
        uplink = None if target.node == self._node else self._uplink_to(target)
        if uplink is not None:
            uplink.pacer.answered(spent_s, bound_s)

    def besides(self, tasks: tuple[str, ...], own: Target | None = None) -> Iterator[Target]:
        """Every way that all of `tasks` can take together but their `own`, each once: those of the
        table, its refuges first; the own one by another link; then any model held here. Where one
        of `tasks` has a deadline those of the table only, which are in time for it (F13)."""
        here, table = self._node, self._router.table
        common = [table.ways(task) for task in tasks]
        ways = [target for target in common[0] if all(target in others for others in common[1:])]
        if not table.deadlines_s.keys().isdisjoint(tasks):
            return (target for target in dict.fromkeys(ways) if target != own)
        if own is not None and own.node != here and own.node not in self._uplinks:
            ways += [own._replace(via=hop) for hop in self._uplinks]
        ways += [
            Target(self._tier, here, model)
            for model in self._device.models
            if set(map(base_task, tasks)) <= set(self._tasks_of(model))
        ]
        return (target for target in dict.fromkeys(ways) if target != own)

    def _settle(
        self, asks: tuple[Ask, ...], deadline_s: float | None, spills: bool
    ) -> list[tuple[Ask, RefusalReason | None]] | RefusedError:
        """Asks of which none is known to be refused, and why one is not the router's own: what
        would be refused here goes another way that has room. A refusal if one has none: then
        nothing is begun of the others."""
        settled: list[tuple[Ask, RefusalReason | None]] = []
        for ask in asks:
            refusal = self._known_refusal(ask, deadline_s)
            if refusal is None or refusal.reason.is_fault:
                settled.append((ask, None))
                continue
            others = self.besides(ask.tasks, ask.target)
            open_ways = self._with_room(others, ask.tasks, deadline_s)
            other = next(open_ways, None) if spills and refusal.reason.is_full else None
            if other is None:
                return refusal
            settled.append((Ask(other, ask.tasks), refusal.reason))
        return settled

    async def _send_parts(
        self, asks: tuple[Ask, ...], image: Image, deadline_s: float | None
    ) -> list[AskOutcome]:
        """Each model here gets its ask; all that go up a link share one image there, unless passes
        are not shared."""
        parts: list[tuple[Ask, ...]] = [(ask,) for ask in asks if ask.target.node == self._node]
        above = [ask for ask in asks if ask.target.node != self._node]
        parts += frames_up(above, self._uplinks, self._shared_passes)
        done = await asyncio.gather(
            *(self._send(part, image, deadline_s) for part in parts), return_exceptions=True
        )
        by_ask: dict[Ask, AskOutcome] = {}
        for part, outcomes in zip(parts, done, strict=True):
            if isinstance(outcomes, BaseException):  # not a refusal: a mistake of ours
                raise outcomes
            by_ask.update(zip(part, outcomes, strict=True))
        return [by_ask[ask] for ask in asks]

    def _known_refusal(self, ask: Ask, deadline_s: float | None) -> RefusedError | None:
        """What the device here would refuse `ask` with; None for what goes up a link."""
        if ask.target.node != self._node:
            return None
        return self._device.refusal(ask.target.model, inf if deadline_s is None else deadline_s)

    async def _send(
        self, asks: tuple[Ask, ...], image: Image, deadline_s: float | None
    ) -> list[AskOutcome]:
        """One ask to the device, or any number of them up the link, in one frame."""
        target, tasks = asks[0]
        try:
            if target.node != self._node:
                uplink = self._uplink_to(target)
                if uplink is None:
                    here = self._node
                    raise RefusedError(RefusalReason.NO_WAY, f"{here} has no link to {target.node}")
                return await uplink.call(asks, image, deadline_s)
            known = _known(tasks)
            served = await self._device.submit_all(target.model, known, image, deadline_s)
            if known != tasks:
                served = {task: served[base_task(task)] for task in tasks}
        except RefusedError as refusal:
            # Its traceback holds this frame, and with it the picture, for as long as it is kept.
            return [refusal.with_traceback(None)] * len(asks)
        self._served[target.model] += len(tasks)
        return [made(AskReply, (target, served, 0.0, None, None))]

    def _uplink_to(self, target: Target) -> Uplink | None:
        hop = next_hop(target, self._uplinks)
        return None if hop is None else self._uplinks[hop]

    async def _detour(
        self, ask: Ask, image: Image, deadline_s: float | None, refusal: RefusedError
    ) -> AskOutcome:
        """Another way for an ask whose node failed; the last refusal if none of them answers."""
        failed = (ask.target.node, ask.target.via)
        ways = (way for way in self.besides(ask.tasks, ask.target) if (way.node, way.via) != failed)
        for target in ways:
            (outcome,) = await self._send((Ask(target, ask.tasks),), image, deadline_s)
            if not isinstance(outcome, RefusedError):
                self._note_detour(ask, target, refusal)
                return outcome._replace(detoured=refusal.reason)
            refusal = outcome
        return refusal

    async def _spill(
        self,
        ask: Ask,
        image: Image,
        deadline_s: float | None,
        refusal: RefusedError,
        arrived_s: float,
    ) -> AskOutcome:
        """Another way for an ask whose way is full, or too slow for it now, all its tasks together:
        the first that has room. The refusal if none answers within what was promised."""
        others = self.besides(ask.tasks, ask.target)
        open_ways = self._with_room(others, ask.tasks, deadline_s)
        for target in islice(open_ways, MAX_TRIES):
            latest_s = self._promised_by(ask.target, target, arrived_s)
            if deadline_s is not None:
                latest_s = min(latest_s, deadline_s)
            limit_s = None if latest_s == inf else latest_s
            (outcome,) = await self._send((Ask(target, ask.tasks),), image, limit_s)
            if not isinstance(outcome, RefusedError):
                self._note_detour(ask, target, refusal)
                return outcome._replace(spilled=refusal.reason)
        return refusal

    def _with_room(
        self, ways: Iterable[Target], tasks: tuple[str, ...], deadline_s: float | None
    ) -> Iterator[Target]:
        """Those of `ways` on which a query would be tried now, as far as is known here; none once
        its deadline has passed."""
        due_s = inf if deadline_s is None else deadline_s
        for target in ways:
            if self._clock() >= due_s:
                return
            if target.node == self._node:
                if self._device.refusal(target.model, due_s) is None:
                    yield target
                continue
            uplink = self._uplink_to(target)
            if uplink is not None and uplink.room((Ask(target, tasks),)) is None:
                yield target

    def _promised_by(self, own: Target, other: Target, arrived_s: float) -> float:
        """When a query that arrived at `arrived_s` must have its answer, whichever of two ways it
        takes; inf if its first way cost it no time: then the other keeps its bound by itself."""
        if self._clock() - arrived_s < AT_ONCE_S:
            return inf
        bounds_s = (self._bounds_s.get(own.node, inf), self._bounds_s.get(other.node, inf))
        return arrived_s + max(bounds_s)

    def _note_detour(self, ask: Ask, target: Target, refusal: RefusedError) -> None:
        span = active_span()
        if span is not None:
            span.note("took another way", {
                "tasks": ",".join(ask.tasks), "refused_by": ask.target.node,
                "reason": str(refusal.reason), "answered_by": target.node,
            })  # fmt: skip
        self._log.debug(
            "%s was answered by %s after %s of %s",
            ",".join(ask.tasks), target.node, refusal.reason, ask.target.node,
        )  # fmt: skip
