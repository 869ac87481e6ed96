"""A signal in the middle of a change of plan waits until the change is over."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from support.paths import ROOT

WORK = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell has it ignored
from serving.cli.exits import exit_code_of
from serving.deploy.signals import finish_first

def work():
    print("before", flush=True)
    with finish_first("a change"):
        print("begun", flush=True)
        sys.stdin.readline()
        print("finished", flush=True)
    print("after", flush=True)

if exit_code_of(work) > 128:
    print("interrupted", flush=True)
"""


def run(signals: list[int]) -> list[str]:
    """What is printed by `WORK` when the signals come after it has begun."""
    with subprocess.Popen(
        [sys.executable, "-c", WORK], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        said = [process.stdout.readline().strip() for _ in range(2)]
        for number in signals:
            process.send_signal(number)
            if len(signals) > 1:
                process.stderr.readline()
        if len(signals) < 2:
            process.stdin.write("go on\n")
            process.stdin.flush()
        return said + process.stdout.read().split()


@pytest.mark.measures_process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_has_begun_is_finished_before_the_signal_acts(number: int) -> None:
    assert run([number]) == ["before", "begun", "finished", "interrupted"]


def test_a_second_signal_ends_it_at_once() -> None:
    assert run([signal.SIGTERM, signal.SIGINT]) == ["before", "begun", "interrupted"]


def test_without_a_signal_nothing_happens() -> None:
    assert run([]) == ["before", "begun", "finished", "after"]
