"""Calls that know no limit of time get one, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from cluster.providers import time_limit
from cluster.providers.state import ClusterError
from cluster.providers.time_limit import within
from support.paths import ROOT


def test_what_is_in_time_is_returned_or_raised() -> None:
    assert within(5.0, lambda: 7, "late") == 7
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 // 0, "late")


def test_what_is_late_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "_abandoned", threading.Event())  # this process waits for it
    gate = threading.Event()
    begun_s = time.monotonic()
    with pytest.raises(ClusterError, match="no answer in time"):
        within(0.1, gate.wait, "no answer in time")
    assert time.monotonic() - begun_s < 5
    assert time_limit.calls_abandoned()
    gate.set()


def test_an_interrupt_ends_the_wait_and_a_process_does_not_wait_for_what_it_left() -> None:
    script = (
        "import signal, time\n"
        "from cluster.providers import time_limit; from serving.cli import main\n"
        # What a shell starts in the background ignores Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def hang(): time.sleep(.2); print('hanging', flush=True); time.sleep(60)\n"
        "main._invoke = lambda _: time_limit.within(60, hang, 'late')\n"
        "main.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "hanging\n"
    begun_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told == "testbed: interrupted\n"
    assert time.monotonic() - begun_s < 20
