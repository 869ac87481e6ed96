"""Experiments: every one runs, writes its CSV and figure, and goes on where it stopped."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from planner.experiments import EXPERIMENTS, scaling
from planner.experiments.study import Case, Row, Study, run_study


def counting_study(measured: list[int]) -> Study:
    def measure(case: Case) -> list[Row]:
        measured.append(case["n"])
        return [{"square": case["n"] ** 2}]

    cases = tuple({"n": n} for n in range(4))
    return Study("squares", "squares", cases, measure, lambda rows, axes: axes.plot([1, 2]))


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_study_is_resumed_case_by_case(tmp_path: Path) -> None:
    measured: list[int] = []
    path = run_study(counting_study(measured), tmp_path)
    assert (tmp_path / "squares.png").stat().st_size > 1000
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3]) + "\n")
    seen: list[tuple[int, int, str]] = []
    run_study(counting_study(measured), tmp_path, lambda *told: seen.append(told))
    assert measured == [0, 1, 2, 3, 2, 3]
    assert seen[-1] == (4, 4, "done")
    assert [row["square"] for row in rows_of(path)] == ["0", "1", "4", "9"]


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_an_experiment_measures_its_cases(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first cases of each; a whole run takes minutes."""
    from planner.experiments import study

    def first(given: Study, out_dir: Path, on_progress: object = None) -> Path:
        cases = given.cases[:: max(len(given.cases) // 2, 1)][:2]
        if name == "scaling":
            cases = tuple({"varied": "edges", "size": size, "seed": 0} for size in (1, 2))
        small = Study(given.name, given.title, cases, given.measure, given.draw, given.panels)
        return run_study(small, out_dir)

    module = __import__(f"planner.experiments.{name}", fromlist=["run"])
    monkeypatch.setattr(module, "run_study", first)
    if name == "association":
        monkeypatch.setattr(module, "CLIENTS_PER_EDGE", 2)
    if name in ("optimality", "rivals"):
        monkeypatch.setattr(module, "sample_problem", small_sample)
    path = EXPERIMENTS[name](tmp_path, seeds=1)
    assert rows_of(path)
    assert (tmp_path / f"{name}.png").exists()
    assert study.Study is Study


def small_sample(family: str, regime: str, *_: object) -> object:
    from planner.instances import sample_problem

    return sample_problem(family, regime, 1, 4, 0)


def test_the_slope_of_a_power_law_is_its_exponent() -> None:
    rows = [{"varied": "edges", "size": n, "cpu_s": 0.1 * n**1.5} for n in (1, 2, 4, 8)]
    assert scaling.slope(rows, "edges") == pytest.approx(1.5)
