"""What has happened to a link, in words and on top of what it is set to."""

from __future__ import annotations

import pytest

from serving.node.links.link_condition import LinkCondition

SET = LinkCondition(bytes_per_s=1e5, rtt_s=0.02)
CUT = LinkCondition(share=0.0)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (LinkCondition(), "as the topology has it"),
        (CUT, "cut"),
        (LinkCondition(silent=True), "silent"),
        (LinkCondition(share=0.25), "at 0.25 of its bandwidth"),
        (SET, "at 100 KB/s with a round trip of 20 ms"),
        (LinkCondition(share=0.5, bytes_per_s=1e5), "at 50 KB/s"),
        (LinkCondition(rtt_s=0.2), "with a round trip of 200 ms"),
    ],
)
def test_it_is_told_in_words(condition: LinkCondition, words: str) -> None:
    assert str(condition) == words
    assert condition.is_as_stated is (words == "as the topology has it")


def test_an_event_of_a_timeline_comes_on_top_of_what_a_link_is_set_to() -> None:
    assert LinkCondition(share=0.25).over(SET) == LinkCondition(0.25, False, 1e5, 0.02)
    assert LinkCondition().over(SET) == SET
    assert CUT.over(SET).is_cut
    assert LinkCondition().over(CUT) == CUT  # `restore_link` does not mend what somebody cut
    assert LinkCondition(silent=True).over(LinkCondition()).silent
