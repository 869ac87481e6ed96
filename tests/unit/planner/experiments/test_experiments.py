"""Experiments: every one runs, writes its CSV and figure, and goes on where it stopped."""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from cluster.errors import InputError
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


def test_a_csv_of_other_policies_is_not_gone_on_with(tmp_path: Path) -> None:
    """Its finished cases would have no rows of the new one."""

    def study(*policies: str) -> Study:
        def measure(case: Case) -> list[Row]:
            return [{"policy": policy, "square": case["n"] ** 2} for policy in policies]

        draw = counting_study([]).draw
        return Study("squares", "squares", ({"n": 1}, {"n": 2}), measure, draw, policies=policies)

    path = run_study(study("a", "b"), tmp_path)
    run_study(study("b", "a"), tmp_path)
    with pytest.raises(
        InputError, match=r"squares\.csv compares a, b; write what compares a, b, c"
    ):
        run_study(study("a", "b", "c"), tmp_path)
    assert len(rows_of(path)) == 4


@pytest.mark.parametrize(
    "name",
    [pytest.param("communication", marks=pytest.mark.slow), "heterogeneity", "optimality"],
)
def test_a_policy_of_the_users_own_is_compared_beside_ours(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "compared_here.py").write_text("def nothing(problem, options):\n    return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    given: list[Study] = []

    def first(study: Study, out_dir: Path, on_progress: object = None) -> Path:
        given.append(study)
        return run_study(replace(study, cases=study.cases[:: len(study.cases) // 2]), out_dir)

    module = import_module(f"planner.experiments.{name}")
    monkeypatch.setattr(module, "run_study", first)
    if name == "optimality":
        monkeypatch.setattr(module, "sample_problem", small_sample)
    own = "compared_here:nothing"
    rows = rows_of(EXPERIMENTS[name](tmp_path / "figures", seeds=1, also=[own, "baj3o"]))
    assert given[0].policies == (*module.POLICIES, own)
    assert [row["policy"] for row in rows[: len(module.POLICIES) + 1]] == [*module.POLICIES, own]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "rivals" else name
        for name in EXPERIMENTS
    ],
)
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
        monkeypatch.setattr(module, "EDGES", 2)
        monkeypatch.setattr(module, "CLIENTS_PER_EDGE", 2)
    if name == "energy":
        monkeypatch.setattr(module, "EDGES", 1)
        monkeypatch.setattr(module, "CLIENTS_PER_EDGE", 1)
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
