"""An uplink's budget in time, and what becomes of a reservation that was not used."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.link_trace import LinkTrace
from serving.errors import RefusedError
from serving.node.links.link_capacity import SteadyCapacity, TracedCapacity
from serving.node.links.pacer import LinkPacer


def pacer() -> LinkPacer:
    """100 bytes take a second; 2 s of backlog may wait."""
    return LinkPacer(SteadyCapacity(100.0), rtt_s=0.0, max_backlog_s=2.0)


def test_messages_leave_one_after_another() -> None:
    link = pacer()
    assert [link.reserve(0.0, 100) for _ in range(3)] == [1.0, 2.0, 3.0]
    with pytest.raises(RefusedError, match="backlog"):
        link.reserve(0.0, 100)
    assert link.sent_bytes == 0  # until somebody says that they left
    link.note_sent(100, called_s=0.0, left_s=1.0)
    assert link.sent_bytes == 100


def test_a_link_is_busy_while_a_message_is_next_or_on_its_way() -> None:
    """Two messages one after the other, a pause, and one that took twice as long as stated."""
    link = pacer()
    for called_s, left_s in ((0.0, 1.0), (0.0, 2.0), (5.0, 7.0)):
        link.note_sent(100, called_s, left_s)
    assert link.busy_s == pytest.approx(4.0)
    assert link.sent_bytes / link.busy_s == pytest.approx(75.0)


def test_a_message_that_is_given_up_leaves_its_time_to_the_next() -> None:
    link = pacer()
    first_s, second_s = link.reserve(0.0, 100), link.reserve(0.0, 100)
    link.give_back(0.0, 1.0, second_s)
    assert link.reserve(0.0, 100) == second_s
    link.give_back(0.0, 1.0, first_s)
    assert link.free_at_s == 1.0


def test_of_a_message_given_up_half_way_half_is_given_back() -> None:
    link = pacer()
    left_s = link.reserve(0.0, 100)
    link.give_back(0.5, 1.0, left_s)
    assert link.free_at_s == 0.5


def test_nothing_is_given_back_of_a_time_that_has_passed() -> None:
    link = pacer()
    left_s = link.reserve(0.0, 100)
    link.reserve(1.0, 100)
    link.give_back(1.5, 1.0, left_s)
    assert link.free_at_s == 2.0


def test_late_answers_shorten_the_backlog_and_answers_in_time_lengthen_it_again() -> None:
    link = pacer()
    for _ in range(10):
        link.answered(spent_s=1.1, promised_s=1.0)
    assert link.limit_s == pytest.approx(2.0 * 0.9**10)
    link.reserve(0.0, 100)
    assert link.refusal(0.0) is not None
    assert link.backlog_share(0.0) == pytest.approx(1.0 / link.limit_s)
    for _ in range(1000):
        link.answered(spent_s=0.9, promised_s=1.0)
    assert link.limit_s == pytest.approx(2.0)
    assert link.refusal(0.0) is None


def test_however_late_answers_are_some_backlog_is_taken() -> None:
    link = pacer()
    for _ in range(100):
        link.answered(spent_s=9.0, promised_s=1.0)
    assert link.limit_s == pytest.approx(0.2)
    assert link.refusal(0.0) is None


def recorded(*bytes_per_s: float) -> TracedCapacity:
    """A step a second."""
    steps = len(bytes_per_s)
    return TracedCapacity(
        LinkTrace("test", np.arange(steps, dtype=float), np.array(bytes_per_s), float(steps))
    )


def test_messages_on_a_recorded_link_leave_as_its_capacity_lets_them() -> None:
    link = LinkPacer(recorded(100.0, 0.0, 50.0), rtt_s=0.0, max_backlog_s=3.0)
    assert [link.reserve(0.0, 75) for _ in range(3)] == [0.75, 3.0, 3.75]
    refusal = link.refusal(0.0)
    assert refusal is not None
    assert refusal.retry_after_s == pytest.approx(0.75)
    link.give_back(0.0, 2.25, 3.0)  # the second of them
    assert link.free_at_s == pytest.approx(3.0)  # 150 bytes have left then


def test_a_link_that_changes_moves_what_waits_for_it() -> None:
    link = LinkPacer(recorded(100.0, 0.0, 50.0), rtt_s=0.0, max_backlog_s=9.0)
    times_s = [link.reserve(0.0, 100), link.reserve(0.0, 50)]
    moved = link.change_capacity(SteadyCapacity(10.0), 0.5)
    assert [moved(time_s) for time_s in (0.25, *times_s)] == [0.25, 5.5, 10.5]
    assert link.free_at_s == 10.5
    back = link.change_capacity(recorded(100.0, 0.0, 50.0), 5.5)
    assert back(10.5) == pytest.approx(6.25)  # 25 bytes by 6 s, when the trace begins again
    assert link.free_at_s == pytest.approx(6.25)
