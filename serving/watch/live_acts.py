"""Acts on a running system: on its live loop and its traffic, where they are in this process, and
on its nodes and links from any."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cluster.errors import InputError
from serving.errors import ServingError
from serving.node.links.link_condition import LinkCondition
from serving.traffic.faults import FaultInjector
from serving.traffic.load_switch import LoadSwitch
from serving.watch.acts import OF_LINKS, OF_NODES, Act, ActName, Offer
from serving.watch.history import WatchHistory

__all__ = ["LiveActs", "SteeredLoop"]

NO_LOOP = "the live loop is not in this process: `testbed live --watch` has it"
NO_TRAFFIC = "no traffic comes from this process: `testbed live --drive --watch` brings it"
NO_CLUSTER = "the nodes run on no machine of ours"


class SteeredLoop(Protocol):
    """What may be asked of a live loop (`serving.replan.loop.ReplanLoop`), from any thread."""

    @property
    def paused(self) -> bool:
        """Whether nothing is decided."""
        ...

    def pause(self) -> None:
        """Decide nothing until `resume`."""
        ...

    def resume(self) -> None:
        """Go on deciding."""
        ...

    def plan_now(self) -> None:
        """Decide at the next look."""
        ...


@dataclass
class LiveActs:
    """What is left out is not offered. Of each act the history hears."""

    history: WatchHistory
    faults: FaultInjector | None = None
    loop: SteeredLoop | None = None
    load: LoadSwitch | None = None

    def offers(self) -> tuple[Offer, ...]:
        """See `WatchActs`."""
        return tuple(Offer(name=name, why_not=self._why_not(name)) for name in ActName)

    async def act(self, act: Act) -> str:
        """See `WatchActs`."""
        if why_not := self._why_not(act.name):
            raise InputError(why_not)
        try:
            await self._carry_out(act)
        except (InputError, ServingError):
            raise
        except Exception as error:
            # Of a cluster that fails in its own way the page must hear, and the server go on.
            raise ServingError(f"{act} failed: {type(error).__name__}: {error}") from error
        link, condition = _condition_after(act)
        self.history.happened(
            f"{act}, from the page", link=link, condition=condition,
            load_factors=None if self.load is None or act.name is not ActName.SCALE_LOAD
            else self.load.factors,
        )  # fmt: skip
        return f"done: {act}"

    async def _carry_out(self, act: Act) -> None:
        if act.name in OF_NODES or act.name in OF_LINKS:
            assert self.faults is not None
            await _fault(self.faults, act)
        elif act.name is ActName.SCALE_LOAD:
            assert self.load is not None
            assert act.client is not None
            assert act.factor is not None
            try:
                self.load.scale(act.client, act.factor)
            except KeyError:
                raise InputError(f"no traffic is sent to {act.client}") from None
        else:
            assert self.loop is not None
            steps: Mapping[ActName, Callable[[], None]] = {
                ActName.PAUSE: self.loop.pause,
                ActName.RESUME: self.loop.resume,
                ActName.PLAN_NOW: self.loop.plan_now,
            }
            steps[act.name]()

    def _why_not(self, name: ActName) -> str:
        if name in OF_NODES or name in OF_LINKS:
            return NO_CLUSTER if self.faults is None else ""
        if name is ActName.SCALE_LOAD:
            return NO_TRAFFIC if self.load is None else ""
        return NO_LOOP if self.loop is None else ""


def _fault(faults: FaultInjector, act: Act) -> Awaitable[None]:
    if act.node is not None:
        of_node: Mapping[ActName, Callable[[str], Awaitable[None]]] = {
            ActName.KILL_NODE: faults.kill_node,
            ActName.STOP_NODE: faults.stop_node,
            ActName.RESUME_NODE: faults.resume_node,
            ActName.LOSE_DEVICE: faults.lose_device,
            ActName.RESTORE_DEVICE: faults.restore_device,
        }
        return of_node[act.name](act.node)
    assert act.link is not None
    if act.name is ActName.SLOW_LINK:
        return faults.slow_link(*act.link, act.factor or 1.0)
    if act.name is ActName.CUT_LINK:
        return faults.cut_link(*act.link)
    return faults.restore_link(*act.link)


def _condition_after(act: Act) -> tuple[str, str]:
    """A link that `act` was about, and how it is from then on."""
    if act.link is None:
        return "", ""
    condition = ""
    if act.name is ActName.CUT_LINK:
        condition = str(LinkCondition(share=0.0))
    elif act.name is ActName.SLOW_LINK:
        condition = str(LinkCondition(share=1.0 / (act.factor or 1.0)))
    return " to ".join(act.link), condition
