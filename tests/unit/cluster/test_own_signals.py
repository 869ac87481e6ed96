"""Connecting to Ray leaves SIGTERM to whoever handled it before."""

from __future__ import annotations

import subprocess
import sys

from support.paths import ROOT

CODE = """
import signal
from cluster.providers.ray_driver import _own_signals

mine = lambda *_: print("mine")
signal.signal(signal.SIGTERM, mine)
with _own_signals():
    signal.signal(signal.SIGTERM, lambda *_: print("a library's"))
signal.raise_signal(signal.SIGTERM)
"""


def test_a_library_that_takes_sigterm_over_while_it_connects_loses_it_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["mine"]
