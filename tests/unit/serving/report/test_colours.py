"""One vocabulary of colours, for reports and for the live page."""

from __future__ import annotations

import re

from serving.errors import RefusalReason
from serving.report.colours import COLOURS, colour_css, reason_colour, task_colour
from support.paths import ROOT


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_colour_that_is_used_is_there() -> None:
    css = colour_css()
    defined = set(re.findall(r"--([\w-]+):", css))
    assert defined == COLOURS.keys()
    used = {reason_colour(reason) for reason in RefusalReason} | {task_colour(k) for k in range(9)}
    assert {colour.removeprefix("var(--").removesuffix(")") for colour in used} <= defined


def test_no_page_of_ours_has_a_colour_of_a_tier_of_its_own() -> None:
    for page in ("serving/report/page.css", "serving/watch/static/watch.css"):
        own = set(re.findall(r"--([\w-]+):", (ROOT / page).read_text()))
        assert not own & COLOURS.keys()


def test_reasons_that_come_together_have_colours_of_their_own() -> None:
    decisions = [reason for reason in RefusalReason if not reason.is_fault]
    assert len({reason_colour(reason) for reason in decisions}) == len(decisions)


def test_tiers_and_what_warns_stand_out_from_the_page_in_light_and_dark() -> None:
    for name in ("client", "edge", "cloud", "warn", "fault", "measured"):
        light, dark = COLOURS[name]
        assert 1.05 / (luminance(light) + 0.05) >= 3.0, name
        assert (luminance(dark) + 0.05) / (luminance("#14171a") + 0.05) >= 3.0, name
