"""`testbed up` is ended at seeded moments, by Ctrl-C and by kill -9 with a `down` after it, with
each provider: nothing of the cluster may be left. DRILLS_SEED draws other moments.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench_cluster import Bench, Interruption, interruptions, left_after
from support.namespaces import NEEDS_NETNS

pytestmark = [pytest.mark.cluster, pytest.mark.slow, NEEDS_NETNS]

MOMENTS = 10
SEED = int(os.environ.get("DRILLS_SEED", "1"))


@pytest.mark.parametrize(
    "how",
    [each for name in ("local", "netns") for each in interruptions(name, MOMENTS, SEED)],
    ids=str,
)
def test_nothing_is_left(how: Interruption, tmp_path: Path) -> None:
    assert left_after(Bench(tmp_path), how) == []
