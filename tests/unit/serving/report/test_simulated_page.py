"""A page says of simulated queries that they were, and of no others, pooled runs among them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serving.report.html import Page, render_page
from serving.traffic.measurement import SIMULATED, Measurements
from support.synthetic_run import Synthetic

WORDS = "These queries were simulated"


@pytest.mark.parametrize(("command", "simulated"), [(SIMULATED, True), ("testbed drive", False)])
def test_only_simulated_queries_are_called_so(
    made: Synthetic, command: str, simulated: bool
) -> None:
    run = made.measurements.run
    of = run.provenance.model_copy(update={"command": command})
    rows = replace(made.measurements, run=run.model_copy(update={"provenance": of, "host": None}))
    for each in (rows, Measurements.pooled([rows, rows])):
        assert each.run.simulated is simulated
        assert (WORDS in render_page(Page(made.report, each, "demo"))) is simulated
