"""Where the asks of one image go from a node: its executor, up the link, elsewhere on a fault."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from serving.errors import RefusalReason, RefusedError
from serving.logs.logger import NodeLogger
from serving.node.device.executor import Executor
from serving.node.device.served import Image
from serving.node.links.messages import AskOutcome, AskReply
from serving.node.links.uplink import Uplink
from serving.routing.router import Router
from serving.routing.routes import Ask, Target, frames_up, next_hop

__all__ = ["Dispatcher"]

_log = logging.getLogger(__name__)


class Dispatcher:
    """The ways of a node. `place` is its (tier, name), `uplinks` its links by the node that they
    lead to; `served` counts answers by model here."""

    def __init__(
        self,
        place: tuple[str, str],
        executor: Executor,
        uplinks: Mapping[str, Uplink],
        router: Router,
        tasks_of: Callable[[str], Collection[str]],
        served: Counter[str],
        *,
        shared_passes: bool = True,
    ) -> None:
        self._tier, self._node = place
        self._log = NodeLogger(_log, self._node)
        self._executor = executor
        self._uplinks = uplinks
        self._router = router
        self._tasks_of = tasks_of
        self._served = served
        self._shared_passes = shared_passes

    async def dispatch(
        self, asks: tuple[Ask, ...], image: Image, deadline_s: float | None
    ) -> list[AskOutcome]:
        """An outcome for each ask; one that met a fault has been tried elsewhere."""
        if len(asks) == 1:  # as nearly always: no task of its own
            outcomes = await self._send(asks, image, deadline_s)
        else:
            outcomes = await self._send_parts(asks, image, deadline_s)
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, RefusedError) and outcome.reason.is_fault:
                outcomes[index] = await self._detour(asks[index], image, deadline_s, outcome)
        return outcomes

    def refusal(self, target: Target) -> RefusedError | None:
        """What a query sent to `target` now would be refused with, as far as is known here; None
        where it would be tried, there or elsewhere."""
        if target.node != self._node:
            uplink = self._uplink_to(target)
            return None if uplink is None else uplink.refusal(target.node)
        refusal = self._executor.refusal(target.model)
        return None if refusal is None or refusal.reason.is_fault else refusal

    async def _send_parts(
        self, asks: tuple[Ask, ...], image: Image, deadline_s: float | None
    ) -> list[AskOutcome]:
        """Each model here gets its ask; all that go up a link share one image there, unless passes
        are not shared."""
        here = self._node
        parts: list[tuple[Ask, ...]] = [(ask,) for ask in asks if ask.target.node == here]
        above = tuple(ask for ask in asks if ask.target.node != here)
        try:
            for part in parts:  # nothing is begun of what is refused anyway
                self._executor.check(part[0].target.model, deadline_s)
        except RefusedError as refusal:
            if not refusal.reason.is_fault:
                return [refusal.with_traceback(None)] * len(asks)
        parts += frames_up(above, self._uplinks, self._shared_passes)
        done = await asyncio.gather(*(self._send(part, image, deadline_s) for part in parts))
        by_ask = {
            ask: outcome
            for part, outcomes in zip(parts, done, strict=True)
            for ask, outcome in zip(part, outcomes, strict=True)
        }
        return [by_ask[ask] for ask in asks]

    async def _send(
        self, asks: tuple[Ask, ...], image: Image, deadline_s: float | None
    ) -> list[AskOutcome]:
        """One ask to the executor, or any number of them up the link, in one frame."""
        target = asks[0].target
        try:
            if target.node != self._node:
                uplink = self._uplink_to(target)
                if uplink is None:
                    here = self._node
                    raise RefusedError(RefusalReason.NO_WAY, f"{here} has no link to {target.node}")
                return await uplink.call(asks, image, deadline_s)
            (ask,) = asks
            served = await self._executor.submit_all(target.model, ask.tasks, image, deadline_s)
        except RefusedError as refusal:
            # Its traceback holds this frame, and with it the picture, for as long as it is kept.
            return [refusal.with_traceback(None)] * len(asks)
        self._served[target.model] += len(ask.tasks)
        return [AskReply(target, served, 0.0)]

    def _uplink_to(self, target: Target) -> Uplink | None:
        hop = next_hop(target, self._uplinks)
        return None if hop is None else self._uplinks[hop]

    async def _detour(
        self, ask: Ask, image: Image, deadline_s: float | None, refusal: RefusedError
    ) -> AskOutcome:
        """Another way for an ask whose node failed: its tasks' other targets, then the same one by
        another link, then any model held here that serves them. The last refusal if none of them
        answers."""
        here = self._node
        elsewhere = [self._router.others(task, ask.target) for task in ask.tasks]
        ways = [target for target in elsewhere[0] if all(target in found for found in elsewhere)]
        if ask.target.node not in (here, *self._uplinks):
            ways += [ask.target._replace(via=hop) for hop in self._uplinks]
        ways += [
            Target(self._tier, here, model)
            for model in self._executor.models
            if set(ask.tasks) <= set(self._tasks_of(model))
        ]
        for target in dict.fromkeys(ways):
            if target == ask.target:
                continue
            (outcome,) = await self._send((Ask(target, ask.tasks),), image, deadline_s)
            if not isinstance(outcome, RefusedError):
                self._log.debug(
                    "%s was answered by %s after %s of %s",
                    ",".join(ask.tasks), target.node, refusal.reason, ask.target.node,
                )  # fmt: skip
                return outcome
            refusal = outcome
        return refusal
