"""The node's name on each line, and floods that are held back."""

from __future__ import annotations

import logging

import pytest

from serving.logs.logger import MAX_KEYS, NodeLogger, RateLimit
from support.log_records import node_of

LOGGER = logging.getLogger("serving.tests")


class Clock:
    """Stands still until it is moved."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_of_a_flood_the_first_passes_and_the_next_period_says_how_many_did_not() -> None:
    clock = Clock()
    limit = RateLimit(60.0, clock)
    assert [limit.admit("a") for _ in range(4)] == [0, None, None, None]
    assert limit.admit("b") == 0
    clock.now_s = 59.9
    assert limit.admit("a") is None
    clock.now_s = 60.0
    assert limit.admit("a") == 4
    clock.now_s = 200.0
    assert limit.admit("a") == 0


def test_a_burst_passes_whole() -> None:
    clock = Clock()
    limit = RateLimit(60.0, clock)
    assert [limit.admit("a", burst=3) for _ in range(5)] == [0, 0, 0, None, None]
    clock.now_s = 61.0
    assert limit.admit("a", burst=3) == 2


def test_keys_without_end_take_no_memory_without_end() -> None:
    clock = Clock()
    limit = RateLimit(60.0, clock)
    for number in range(3 * MAX_KEYS):
        clock.now_s += 0.001
        assert limit.admit(number) == 0
    assert len(limit._seen) <= MAX_KEYS


def test_each_record_names_its_node_whatever_process_it_comes_from(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "serving"):
        NodeLogger(LOGGER, "edge-0").info("one")
        NodeLogger(LOGGER, "edge-1").warning("two %d", 2)
    assert [(node_of(record), record.getMessage()) for record in caplog.records] == [
        ("edge-0", "one"),
        ("edge-1", "two 2"),
    ]


def test_a_limited_line_has_its_traceback_the_first_time_and_a_count_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    log = NodeLogger(LOGGER, "edge-0", clock)

    def fail() -> None:
        try:
            raise RuntimeError("out of memory")
        except RuntimeError:
            log.limited(logging.ERROR, "device", "batch of %d failed", 8, exc_info=True)

    for at_s in (0.0, 1.0, 2.0, 61.0):
        clock.now_s = at_s
        fail()
    first, later = caplog.records
    assert first.getMessage() == "batch of 8 failed"
    assert first.exc_info
    assert later.getMessage() == "batch of 8 failed (and 2 more like it before)"
    assert not later.exc_info


def test_what_nobody_listens_to_does_not_count_as_said(caplog: pytest.LogCaptureFixture) -> None:
    log = NodeLogger(LOGGER, "edge-0")
    with caplog.at_level(logging.WARNING, "serving"):
        log.limited(logging.INFO, "key", "unheard")
    with caplog.at_level(logging.INFO, "serving"):
        log.limited(logging.INFO, "key", "heard")
    assert [record.getMessage() for record in caplog.records] == ["heard"]
