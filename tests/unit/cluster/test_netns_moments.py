"""A cluster in namespaces whose `up` is ended at any moment leaves nothing: all but Ray is real."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.providers import lifecycle
from cluster.providers.netns_enter import enter_command
from cluster.providers.netns_layout import spaces_folder
from cluster.providers.provider import provider_of
from cluster.providers.state import find_cluster
from leftovers import Traces, left
from support.namespaces import NEEDS_NETNS

pytestmark = [NEEDS_NETNS, pytest.mark.xdist_group("namespaces")]

CHANCE = random.Random(19)
MOMENTS = sorted(CHANCE.uniform(0.0, 2.5) for _ in range(10))
QUICK = (5,)


@pytest.fixture
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    yield str(tmp_path / "state")
    lifecycle.down()


def begin() -> subprocess.Popen[str]:
    """An `up` that has read its modules."""
    begun = subprocess.Popen(
        [sys.executable, "-m", "support.up_without_ray"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert begun.stdout is not None
    assert begun.stdout.readline() == "begun\n"
    return begun


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
@pytest.mark.parametrize(
    "after_s",
    [
        pytest.param(moment, marks=[] if index in QUICK else [pytest.mark.slow])
        for index, moment in enumerate(MOMENTS)
    ],
)
def test_nothing_is_left(after_s: float, number: signal.Signals, state_folder: str) -> None:
    before = Traces.look(state_folder)
    begun = begin()
    time.sleep(after_s)
    begun.send_signal(number)
    told, _ = begun.communicate(timeout=60)
    if number is signal.SIGKILL or "up\n" in told:
        lifecycle.down()
    assert left(state_folder, before) == []
    assert find_cluster() is None


def test_what_is_up_is_as_it_was_recorded_and_down_can_be_said_twice(
    state_folder: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = Traces.look(state_folder)
    begun = begin()
    assert begun.communicate(timeout=60)[0] == "up\n"
    state = find_cluster()
    assert state is not None
    assert state.alive
    assert all(place.running for place in lifecycle.nodes_of(state))
    inside = enter_command(str(spaces_folder(state.temp_dir) / "client-0"))
    listed = subprocess.run(
        [*inside, "ls", "/proc/self/ns", "-l"], capture_output=True, text=True, check=True
    ).stdout
    assert str(Path("/proc/self/ns/net").readlink()) not in listed
    provider = provider_of("netns")
    assert provider.exec(state, "edge-0", ["cat", "/proc/net/dev"]) == 0
    told = capfd.readouterr().out
    assert [name for name in ("link0:", "link1:", "link2:", "link3:") if name in told] == [
        "link0:", "link1:", "link2:", "link3:",
    ]  # fmt: skip
    assert provider.exec(state, "cloud", ["false"]) == 1
    assert provider.exec(state, "cloud", ["no-such-program"]) == 127
    provider.down(state, lambda _: None)
    provider.down(state, lambda _: None)
    assert lifecycle.down()
    assert not lifecycle.down()
    assert left(state_folder, before) == []
