"""The live loop: watch the load, plan again, and move to the new plan when it is worth it.

Every period the routers' counters give the load per client and task; the policy plans for it; a
plan that gains enough over the one in force, or replaces one that no longer keeps its budgets,
goes out as the next version.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from planner.plan import Plan
from planner.policies import solve
from serving.replan.decision import Decision, ReplanOptions, decide
from serving.replan.load_estimate import LoadEstimator
from serving.setting.setting import Setting

if TYPE_CHECKING:  # the decision needs no Ray
    from serving.deploy.fleet import Fleet

__all__ = ["ReplanLoop"]

_log = logging.getLogger(__name__)


class ReplanLoop:
    """Runs beside traffic until cancelled."""

    def __init__(
        self,
        fleet: Fleet,
        plan: Plan,
        setting: Setting,
        options: ReplanOptions,
        *,
        clock: Callable[[], float],
        on_decision: Callable[[Decision], None] = lambda _: None,
    ) -> None:
        self._fleet = fleet
        self._plan = plan
        self._setting = setting
        self._options = options
        self._clock = clock
        self._on_decision = on_decision
        self._rates = LoadEstimator(options.horizon_s, setting.tasks)
        self._failures = 0
        self._clients = [node.name for node in fleet.topology.clients]

    async def run(self) -> None:
        """Look every period. A change that has begun is completed before cancellation ends it.

        A look that fails, because a node gives no answer, say, is logged, and the plan in force
        stays. Raises what the last of `max_failures` looks raised that failed one after another.
        """
        started_s = self._clock()
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(self._step, started_s))
            try:
                await asyncio.shield(step)
            except asyncio.CancelledError:
                await step
                raise
            await asyncio.sleep(self._options.period_s)

    def _step(self, started_s: float) -> None:
        try:
            self._look(started_s)
        except Exception:
            # Whatever it was, the nodes go on with the plan in force, and so does the loop.
            self._failures += 1
            if self._failures >= self._options.max_failures:
                _log.exception("the live loop ends: %d looks in a row failed", self._failures)
                raise
            _log.exception("a look at the load failed; the plan in force stays")
        else:
            self._failures = 0

    def _look(self, started_s: float) -> None:
        snapshots = self._fleet.snapshots()
        phase = self._rates.update({name: snapshots[name] for name in self._clients})
        if phase is None:
            return
        problem = self._setting.problem(phase)
        proposed = solve(problem, self._options.policy, self._options.options).plan
        present_value, proposed_value, reason = decide(problem, self._plan, proposed, self._options)
        _log.info(
            "load %.1f queries/s; the plan in force reaches %.3f, a new one %.3f: %s",
            phase.total_qps, present_value, proposed_value,
            f"it changes: {reason}" if reason else "it stays",
        )  # fmt: skip
        change = None
        if reason:
            change = self._fleet.apply(proposed, self._setting, phase)
            self._plan = proposed.model_copy(update={"version": change.version})
        self._on_decision(
            Decision(
                at_s=self._clock() - started_s,
                load_qps=phase.total_qps,
                present=present_value,
                proposed=proposed_value,
                reason=reason,
                plan=self._plan,
                change=change,
            )
        )
