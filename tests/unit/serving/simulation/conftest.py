"""The demo's setting, and a plan for its first phase."""

from __future__ import annotations

import pytest

from planner.policies import solve
from planner.solution import Solution
from serving.setting.setting import Setting
from support.demo_setting import demo_demand, demo_setting


@pytest.fixture(scope="session")
def setting() -> Setting:
    return demo_setting()


@pytest.fixture(scope="session")
def solution(setting: Setting) -> Solution:
    return solve(setting.problem(demo_demand().phases[0]), "baj3o")
