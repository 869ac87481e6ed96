"""Which file of a run was made from which, and what may be written into it."""

from __future__ import annotations

import pytest

from cluster.document import DocumentError
from serving.runs.manifest import FILE_NAMES, FileKind, Manifest, after, before, find_conflict

K = FileKind


def digest(kind: FileKind, number: int = 0) -> str:
    return f"{sorted(FileKind).index(kind):032x}{number:032x}"


def manifest(**made_from: tuple[FileKind, ...]) -> Manifest:
    """A run with a file of each kind, made from those of its kinds."""
    return Manifest.parse(
        {
            "name": "run",
            "created_at": "2026-01-01T00:00:00.000000+00:00",
            "files": {
                kind: {
                    "file": FILE_NAMES[K(kind)],
                    "sha256": digest(K(kind)),
                    "bytes": 1,
                    "written_at": "2026-01-01T00:00:00+00:00",
                    "command": "testbed test",
                    "made_from": {other: digest(other) for other in others},
                }
                for kind, others in made_from.items()
            },
        }
    )


MEASURED = manifest(
    topology=(), profiles=(), demand=(), problem=(K.TOPOLOGY, K.PROFILES, K.DEMAND),
    plan=(K.PROBLEM,), measurements=(K.PLAN,),
)  # fmt: skip
PLANNED = manifest(
    topology=(), profiles=(), demand=(), problem=(K.TOPOLOGY, K.PROFILES, K.DEMAND),
    plan=(K.PROBLEM,),
)  # fmt: skip


def test_what_a_file_was_made_from_is_followed_through_others() -> None:
    assert MEASURED.made_from(K.MEASUREMENTS) == {
        K.PLAN, K.PROBLEM, K.TOPOLOGY, K.PROFILES, K.DEMAND
    }  # fmt: skip
    assert MEASURED.made_of({K.PROFILES}) == {K.PROBLEM, K.PLAN, K.MEASUREMENTS}
    assert MEASURED.made_of({K.MEASUREMENTS}) == set()


def test_a_file_of_another_digest_is_not_what_it_was_made_from() -> None:
    entry = MEASURED.files[K.PLAN]
    other = entry.model_copy(update={"sha256": digest(K.PLAN, 1)})
    changed = MEASURED.model_copy(update={"files": {**MEASURED.files, K.PLAN: other}})
    assert changed.made_from(K.MEASUREMENTS) == set()


@pytest.mark.parametrize(
    ("run", "put", "conflict"),
    [
        (PLANNED, {K.PLAN: None, K.PROBLEM: None}, None),
        (MEASURED, {K.PLAN: None, K.PROBLEM: None}, (K.PLAN, K.MEASUREMENTS)),
        (PLANNED, {K.PROFILES: None, K.TOPOLOGY: None}, (K.PROFILES, K.PLAN)),
        (PLANNED, {K.PROBLEM: None}, (K.PROBLEM, K.PLAN)),
        (PLANNED, {K.MEASUREMENTS: None, K.GALLERY: None}, None),
        (MEASURED, {K.MEASUREMENTS: None, K.GALLERY: None}, None),
        (MEASURED, {K.REPORT: None}, None),
        (PLANNED, {K.PROFILES: digest(K.PROFILES)}, None),
        (PLANNED, {K.PROFILES: digest(K.PROFILES, 1)}, (K.PROFILES, K.PLAN)),
        (PLANNED, {K.DEMAND: digest(K.DEMAND, 1), K.PROBLEM: None, K.PLAN: None}, None),
        (manifest(problem=(), plan=(K.PROBLEM,)), {K.PROFILES: None}, (K.PROFILES, K.PLAN)),
        (manifest(problem=(), plan=(K.PROBLEM,)), {K.COMPARISON: None}, None),
    ],
)
def test_nothing_is_replaced_from_which_another_file_was_made(
    run: Manifest, put: dict[FileKind, str | None], conflict: tuple[FileKind, FileKind] | None
) -> None:
    assert find_conflict(run, put) == conflict


def test_every_kind_has_a_file_and_none_stands_before_itself() -> None:
    assert set(FILE_NAMES) == set(FileKind)
    assert len(set(FILE_NAMES.values())) == len(FileKind)
    for kind in FileKind:
        assert kind not in before(kind)
        assert all(kind in before(other) for other in after(kind))


@pytest.mark.parametrize("file", ["/etc/passwd", "../other/plan.json", ""])
def test_a_manifest_cannot_point_outside_of_its_run(file: str) -> None:
    data = PLANNED.model_dump(mode="json", exclude_none=True)
    data["files"]["plan"]["file"] = file
    with pytest.raises(DocumentError, match=r"files\.plan\.file: expected a path inside"):
        Manifest.parse(data, "manifest.json")
