"""The simulated system as an environment for reinforcement learning, if gymnasium is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster.demand import Phase
from cluster.extras import import_extra
from cluster.timeline import TimelineEvent
from planner.plan import Plan
from serving.setting.setting import Setting

if TYPE_CHECKING:
    from serving.simulation.gym_environment import ServingEnvironment

__all__ = ["make_environment"]


def make_environment(
    setting: Setting,
    plans: Plan | Sequence[Plan],
    phases: Sequence[Phase],
    *,
    period_s: float = 2.0,
    timeline: Sequence[TimelineEvent] = (),
    spill_over: bool = True,
) -> ServingEnvironment:
    """An environment of gymnasium: traffic of `phases` into the simulated system of `setting`.

    Observed are loads, queues, and the use of devices and links; an action is the shares of each
    client's task on the models that the plan holds or, if there are several plans, the one to
    follow for the next `period_s` seconds; the reward is accuracy in time. See
    `serving.simulation.gym_environment.ServingEnvironment`.

    Raises `MissingExtraError` without gymnasium, and `InputError` for what cannot be simulated.
    """
    import_extra("gymnasium", "gym", "an environment of the simulator")
    from serving.simulation.gym_environment import ServingEnvironment

    return ServingEnvironment(
        setting, plans, phases, period_s=period_s, timeline=timeline, spill_over=spill_over
    )
