"""docs/protocol.md: its limits and the words of its errors are the code's."""

from __future__ import annotations

import re
from dataclasses import asdict

from serving.errors import RefusalReason
from serving.http.limits import Limits
from serving.http.responses import REASONS
from support.paths import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
UNITS = {"": 1, "s": 1, "KiB": 2**10, "MiB": 2**20}


def test_every_limit_is_stated_with_its_value() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) ?(\w*) \|", PAGE, re.MULTILINE)
    stated = {name: int(count.replace(",", "")) * UNITS[unit] for name, count, unit in rows}
    assert stated == asdict(Limits())


def test_no_reason_is_named_that_the_door_does_not_give() -> None:
    rows = re.findall(r"^\| [0-9, ]+ \| (.*?) \|", PAGE, re.MULTILINE)
    named = {word for cell in rows for word in re.findall(r"`(\w+)`", cell)}
    of_the_door = {"bad_query", "broken", *REASONS.values()}
    assert of_the_door <= named
    assert named - of_the_door <= {str(reason) for reason in RefusalReason}
