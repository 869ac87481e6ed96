"""The rows of predictions: which there are, and that a run as predicted is off by nothing."""

from __future__ import annotations

import pytest

import prediction_rows
from prediction_rows import Trials, measure, rows_of, spread_rows, traffic
from serving.experiment_runs.request import SIMULATED
from support.demo_setting import demo_demand, demo_setting


def test_every_row_is_there_and_simulated_runs_are_as_simulated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prediction_rows, "RUN_S", 8.0)
    trials = Trials(demo_setting(), SIMULATED)
    kinds = traffic(demo_demand().phases[0], None)
    measure(trials, kinds, repetitions=2, calm=kinds["poisson"])
    found = {str(row["id"]): row for row in rows_of(trials.found, "own")}
    assert found.keys() >= {
        "T1.profiled", "T1.unloaded", "T1.unloaded_corrected", "T1.loaded",
        "T2.mean", "T2.worst", "T3.own",
        "T3.own_run", "T4.own_poisson_p50", "T4.own_poisson_p95", "T4.own_poisson_shed",
        "T4.own_mmpp_p50", "T4.own_mmpp_p95", "T4.own_mmpp_shed", "T5.poisson", "T5.bursty",
    }  # fmt: skip
    for name, row in found.items():
        once = name.startswith(("T2", "T1.unloaded")) or name in ("T1.profiled", "T3.own")
        assert row["n"] == (1 if once else 2), name
        if name.startswith(("T1.", "T4.")):
            assert row["value"] == pytest.approx(0.0, abs=1e-9), name
    assert float(str(found["T5.poisson"]["value"])) > 0.98
    emulated = {str(row["id"]) for row in rows_of(trials.found, "emulated")}
    assert emulated >= {
        "T1.emulated", "T3.emulated", "T4.emulated_poisson_p50", "T4.emulated_mmpp_shed",
    }  # fmt: skip
    spread = spread_rows([*trials.found["poisson"], *trials.found["poisson"]])
    assert [row["id"] for row in spread] == ["T10.accuracy", "T10.p95"]
    assert all(float(str(row["value"])) > 0 for row in spread)  # of two seeds
    assert all(row["value"] == 0 for row in spread_rows(trials.found["poisson"][:1]))
    assert spread_rows([]) == []
