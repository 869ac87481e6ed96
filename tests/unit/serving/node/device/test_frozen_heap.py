"""The collector's work after the heap was settled; in a process of its own, for it is global."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc
from serving.node.device.process_tuning import freeze_heap

class Node:
    freed = 0
    def __del__(self):
        Node.freed += 1

lasting = [[number] for number in range(100_000)]
young = Node()
young.itself = young
del young
freeze_heap()
assert Node.freed == 1, "young rubbish is not kept for ever"
assert gc.get_freeze_count() >= 100_000
assert len(gc.get_objects()) < 5_000, "what lasts is looked at no more"
del lasting
later = Node()
later.itself = later
del later
gc.collect()
assert Node.freed == 2, "rubbish made later is found"
"""


def test_what_lasts_is_left_alone_and_rubbish_is_found() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
