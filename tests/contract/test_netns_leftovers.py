"""A cluster in namespaces whose `up` was killed at once is taken away by `down`: one of the moments
that `make drills` goes through."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from bench_cluster import Bench, Interruption, left_after
from support.namespaces import NEEDS_NETNS

pytestmark = [pytest.mark.cluster, NEEDS_NETNS]


@pytest.mark.parametrize("after_s", [2.5])  # namespaces are there, and Ray is being started
def test_nothing_is_left_of_an_up_that_was_killed(after_s: float, tmp_path: Path) -> None:
    killed = Interruption("netns", after_s, signal.SIGKILL)
    assert left_after(Bench(tmp_path), killed) == []
