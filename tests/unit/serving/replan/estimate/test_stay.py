"""How long a load may be expected to stay."""

from __future__ import annotations

import pytest

from serving.replan.estimate.stay import MEMORY_S, PRIOR_S, Stay


def watched(seconds: int, every_s: int | None) -> Stay:
    """After so many looks of a second, with a change each `every_s` of them."""
    stay = Stay()
    for second in range(1, seconds + 1):
        stay = stay.after(1.0, every_s is not None and second % every_s == 0)
    return stay


def test_at_first_a_load_may_stay_as_long_as_changes_are_apart_by_assumption() -> None:
    assert Stay().expected_s == PRIOR_S


def test_the_longer_a_load_has_stayed_the_longer_it_may_stay() -> None:
    assert watched(60, None).expected_s == pytest.approx(PRIOR_S + 60, rel=0.1)
    assert watched(3600, None).expected_s == pytest.approx(PRIOR_S + MEMORY_S, rel=0.01)


@pytest.mark.parametrize(("every_s", "expected_s"), [(16, 21.0), (32, 38.0)])
def test_a_load_that_changes_again_and_again_stays_about_as_long_as_it_did(
    every_s: int, expected_s: float
) -> None:
    assert watched(128, every_s).expected_s == pytest.approx(expected_s, rel=0.1)


def test_a_change_that_shows_at_several_looks_is_one() -> None:
    stay = Stay()
    for changed in (True, False, True, True):
        stay = stay.after(1.0, changed)
    assert stay.changes == pytest.approx(1.0, rel=0.02)


def test_changes_are_forgotten() -> None:
    stay = watched(64, 16)
    for _ in range(1200):
        stay = stay.after(1.0, False)
    assert stay.expected_s == pytest.approx(PRIOR_S + MEMORY_S, rel=0.1)
