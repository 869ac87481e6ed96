"""Problems are checked field by field and survive a trip through their file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.document import DocumentError
from planner.problem import Problem, ProblemError
from support.planner_cases import one_client, random_problem, with_curves


def curve(sizes: list[float], seconds: list[float]) -> dict[str, Any]:
    """Measured times of batches (F15), the same of all three models."""
    return {"curve_sizes_z": sizes, "edge_curve_emz": [[seconds] * 3]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"load_ct": [[1.0, float("nan")]]}, r"^load_ct\.0\.1: must be a number"),
        ({"load_ct": [[-1.0, 2.0]]}, r"^load_ct\.0\.0: must be at least 0 \(got -1\.0\)"),
        ({"load_ct": [[1.0]]}, r"^load_ct: expected shape \(1, 2\), got \(1, 1\)"),
        ({"load_ct": [[1.0], [1.0, 2.0]]}, r"^load_ct: not a rectangular table"),
        ({"cloud_model_t": [2**70, -1]}, r"^cloud_model_t: not a rectangular table"),
        ({"load_ct": [[1.0, float("inf")]]}, r"^load_ct\.0\.1: must be finite"),
        ({"accuracy_mt": [[1.5, 0], [0, 1], [1, 1]]}, r"^accuracy_mt\.0\.0: must be at most 1"),
        ({"edge_of_a": [1]}, r"^edge_of_a\.0: must be an index from 0 to 0"),
        ({"cloud_model_t": [5, -1]}, r"^cloud_model_t\.0: must be an index from -1 to 2"),
        ({"cloud_model_t": [-1, -1]}, r"^cloud_model_t\.0: no model, but an accuracy"),
        ({"models": ("x", "y", "x")}, r"^models\.2: 'x' is used twice"),
        ({"edges": ("c0",)}, r"^edges\.0: 'c0' is also the name of another node"),
        ({"cloud": "c0"}, r"^cloud: 'c0' is also the name of a client"),
        ({"clients": ()}, r"^clients: must not be empty"),
        ({"window_e": [0.0]}, r"^window_e\.0: must be greater than 0"),
        ({"client_memory_c": [-5.0]}, r"^client_memory_c\.0: must be at least 0"),
        ({"edge_memory_e": [float("inf")]}, r"^edge_memory_e\.0: must be finite"),
        ({"cloud_compute": -1.0}, r"^cloud_compute: must be at least 0"),
        ({"curve_sizes_z": [1, 2]}, r"^edge_curve_emz\.0\.0\.0: must be a number"),
        (curve([1, 2], [0.1, 0.2, 0.3]), r"^edge_curve_emz: expected shape \(1, 3, 2\), got"),
        (curve([1], [0.1]), r"^curve_sizes_z: one size says nothing of larger batches"),
        (curve([2, 4], [0.1, 0.2]), r"^curve_sizes_z\.0: must be 1, the smallest batch"),
        (curve([1, 2.5], [0.1, 0.2]), r"^curve_sizes_z\.1: must be a whole number"),
        (curve([1, 4, 4], [0.1, 0.2, 0.2]), r"^curve_sizes_z\.2: must be larger than the size"),
        (curve([1, 2], [0.2, 0.1]), r"^edge_curve_emz\.0\.0\.1: must not be less than that of"),
        (curve([1, 2], [0.2, float("nan")]), r"^edge_curve_emz\.0\.0\.1: must be a number"),
    ],
)
def test_a_bad_field_is_refused_with_its_path(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        one_client(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"load_ct": [[1.0, float("nan")]]}, {"load_ct": [[1.0]]}, {"cloud_compute": -1.0},
        {"accuracy_mt": [[1.5, 0], [0, 1], [1, 1]]}, {"cloud_model_t": [-1, -1]},
        {"cloud_model_t": [5, -1]}, {"edge_of_a": [1]}, {"window_e": [0.0]}, {"cloud": "c0"},
        {"clients": ()}, {"edges": ("c0",)}, {"edge_max_batch_e": [1.5]}, {"client_of_a": [0, 0]},
    ],
)  # fmt: skip
def test_a_changed_problem_refuses_what_a_new_one_refuses(changes: dict[str, Any]) -> None:
    with pytest.raises(ProblemError) as new:
        replace(one_client(), **changes)
    with pytest.raises(ProblemError) as changed:
        one_client().changed(**changes)
    assert str(changed.value) == str(new.value)


def test_a_changed_problem_is_the_new_one_and_shares_what_stays() -> None:
    problem = random_problem(0)
    for name in (*Problem.array_fields(), "cloud_compute"):
        value = getattr(problem, name)
        other = {name: value if value.dtype == np.int64 else value * 0.5 + 0.25} if isinstance(
            value, np.ndarray) and name != "edge_max_batch_e" else {name: value}  # fmt: skip
        if name == "cloud_accuracy_t":
            other = {name: value * 0.5}
        changed, new = problem.changed(**other), replace(problem, **other)
        assert changed.digest == new.digest
        assert name == "load_ct" or name == "client_of_a" or changed.load_ct is problem.load_ct
        assert not getattr(changed, Problem.array_fields()[0]).flags.writeable
    assert problem.changed(load_ct=2 * problem.load_ct).digest != problem.digest
    with pytest.raises(TypeError, match="lod_ct"):
        problem.changed(lod_ct=problem.load_ct)


def test_arrays_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        one_client().load_ct[0, 0] = 3.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_problem_survives_its_file(tmp_path: Path, seed: int) -> None:
    problem = random_problem(seed)
    again = Problem.load(problem.save(tmp_path / "problem.json"))
    assert again.digest == problem.digest
    assert again.cloud_compute == problem.cloud_compute
    np.testing.assert_array_equal(again.edge_model_bytes_em, problem.edge_model_bytes_em)


def test_no_limit_is_written_as_null(tmp_path: Path) -> None:
    bytes_cm = [[10.0, float("inf"), 100.0]]
    problem = one_client(client_model_bytes_cm=bytes_cm, cloud_compute=float("inf"))
    path = problem.save(tmp_path / "problem.json")
    assert json.loads(path.read_text())["client_model_bytes_cm"] == [[10.0, None, 100.0]]
    assert Problem.load(path).digest == problem.digest


def test_a_bad_file_names_itself_and_the_field(tmp_path: Path) -> None:
    path = one_client().save(tmp_path / "problem.json")
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "load_ct": [[1.0, -2.0]]}))
    with pytest.raises(DocumentError, match=r"problem\.json: load_ct\.0\.1: must be at least 0"):
        Problem.load(path)
    path.write_text(json.dumps({**data, "load_tc": 1}))
    with pytest.raises(DocumentError, match="did you mean load_ct"):
        Problem.load(path)


def test_the_digest_sees_every_number() -> None:
    assert one_client().digest == one_client().digest
    assert one_client().digest != one_client(window_e=[0.25]).digest


def test_measured_times_of_batches_survive_the_file_and_a_part_keeps_its_own(
    tmp_path: Path,
) -> None:
    problem = with_curves(random_problem(1), 1)
    path = problem.save(tmp_path / "problem.json")
    again = Problem.load(path)
    assert again.curved
    assert again.digest == problem.digest
    assert problem.digest != random_problem(1).digest
    np.testing.assert_array_equal(again.edge_curve_emz, problem.edge_curve_emz)
    part = problem.part(*(np.array([1]) for _ in range(3)))
    np.testing.assert_array_equal(part.edge_curve_emz, problem.edge_curve_emz[1:])
    random_problem(1).save(path)
    assert json.loads(path.read_text())["curve_sizes_z"] == []
    assert not Problem.load(path).curved
