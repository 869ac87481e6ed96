"""The simulator as an environment of gymnasium: actions are shares, or plans."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cluster.demand import Phase
from cluster.errors import InputError
from cluster.extras import import_extra
from cluster.timeline import TimelineEvent
from planner.policies import solve
from planner.solution import Solution
from serving.setting.setting import Setting
from serving.simulation.environment import make_environment
from serving.simulation.simulate import simulate
from support.demo_setting import demo_demand

if TYPE_CHECKING:
    from serving.simulation.gym_environment import ServingEnvironment

PHASE = demo_demand().phases[0].model_copy(update={"duration_s": 12.0})


@pytest.fixture
def shares(setting: Setting, solution: Solution) -> Iterator[ServingEnvironment]:
    made = make_environment(setting, solution.plan, [PHASE])
    yield made
    made.close()


def test_it_is_an_environment_as_gymnasium_has_them(
    shares: ServingEnvironment, setting: Setting, solution: Solution
) -> None:
    check_env = import_extra("gymnasium.utils.env_checker", "gym", "this test").check_env
    check_env(shares, skip_render_check=True)
    other = solve(setting.problem(PHASE), "all-local").plan
    plans = make_environment(setting, [solution.plan, other], [PHASE])
    check_env(plans, skip_render_check=True)
    plans.close()


def test_the_shares_of_the_plan_reach_what_a_simulated_run_of_it_does(
    shares: ServingEnvironment, setting: Setting, solution: Solution
) -> None:
    action = shares.shares_of(solution.plan)
    shares.reset(seed=3)
    score = queries = 0.0
    for _ in range(6):
        seen, reward, _, ended, info = shares.step(action)
        score += reward * info["queries"]
        queries += info["queries"]
        assert seen["load"].max() < 0.5
        assert ended == (info["time_s"] == 12.0)
    rows = simulate(setting, solution.plan, [PHASE], seed=3)
    assert shares.step(action)[3]
    assert queries == pytest.approx(len(rows), abs=15)  # the last are still on their way
    expected = float(rows.score[rows.in_time].sum()) / len(rows)
    assert score / queries == pytest.approx(expected, abs=0.02)


def test_weights_are_shares_and_what_they_leave_is_shed(
    shares: ServingEnvironment,
) -> None:
    nothing, all_of_it = np.zeros(len(shares.ways)), np.ones(len(shares.ways))
    shares.reset(seed=1)
    _, reward, _, _, info = shares.step(nothing)
    assert (reward, info["answered"]) == (0.0, 0)
    assert info["queries"] > 50
    _, reward, _, _, info = shares.step(all_of_it)
    assert reward > 0.3
    assert info["answered"] > 0.9 * info["queries"] - 20


def test_an_action_moves_models_where_plans_are_the_actions(
    setting: Setting, solution: Solution
) -> None:
    local = solve(setting.problem(PHASE), "all-local").plan
    plans = make_environment(setting, [solution.plan, local], [PHASE])
    plans.reset(seed=1)
    sent = []
    for action in (0, 1, 1):
        seen, _, _, _, info = plans.step(action)
        assert info["followed"]
        sent.append(float(seen["sending"].sum()))
    assert sent[0] > 0.2
    assert sent[2] == 0.0
    plans.close()


def test_what_happens_meanwhile_is_seen(setting: Setting, solution: Solution) -> None:
    killed = TimelineEvent(at_s=3.0, kill_node="edge-0")
    shares = make_environment(setting, solution.plan, [PHASE], timeline=[killed])
    action = shares.shares_of(solution.plan)
    shares.reset(seed=1)
    edge = shares.nodes.index("edge-0")
    busy = [float(shares.step(action)[0]["busy"][edge]) for _ in range(4)]
    assert busy[0] > 0
    assert busy[2:] == [0.0, 0.0]
    shares.close()


def test_it_is_stepped_on_an_event_loop_too_as_in_a_notebook(
    shares: ServingEnvironment,
) -> None:
    async def cell() -> float:
        shares.reset(seed=1)
        reward = shares.step(np.ones(len(shares.ways)))[1]
        shares.close()
        return float(reward)

    shares.reset(seed=1)
    assert asyncio.run(cell()) == shares_alone(shares)


def shares_alone(shares: ServingEnvironment) -> float:
    shares.reset(seed=1)
    return float(shares.step(np.ones(len(shares.ways)))[1])


def test_what_cannot_be_is_refused_in_a_line(setting: Setting, solution: Solution) -> None:
    make = make_environment
    with pytest.raises(InputError, match="needs a plan"):
        make(setting, [], [PHASE])
    with pytest.raises(InputError, match="`period_s` above 0"):
        make(setting, solution.plan, [PHASE], period_s=0.0)
    with pytest.raises(InputError, match="something is asked"):
        make(setting, solution.plan, [Phase(duration_s=1.0, rates_qps={})])
    with pytest.raises(InputError, match="call `reset` first"):
        make(setting, solution.plan, [PHASE]).step(0)
