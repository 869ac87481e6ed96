"""How every experiment runs: cases in a fixed order, a CSV that resumes, a figure."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import InputError
from cluster.extras import import_extra

__all__ = ["Case", "Progress", "Row", "Study", "compared", "run_study"]

Case = dict[str, Any]
Row = dict[str, Any]
Progress = Callable[[int, int, str], None]
"""Called with (cases done, cases in all, what is done now)."""


@dataclass(frozen=True)
class Study:
    """An experiment: what it varies, what it measures, how it is drawn.

    `measure` gives rows without the case's own columns. `draw` puts all rows on matplotlib axes:
    one of them, or a list where there are several `panels` (beside one another).
    """

    name: str
    title: str
    cases: tuple[Case, ...]
    measure: Callable[[Case], Iterable[Row]]
    draw: Callable[[Sequence[Row], Any], None]
    panels: int = 1
    policies: tuple[str, ...] = ()
    """What each case compares; a CSV of others is not gone on with."""


def compared(own: Sequence[str], also: Sequence[str]) -> tuple[str, ...]:
    """The policies that an experiment compares: its `own`, then `also`, each once."""
    return tuple(dict.fromkeys((*own, *also)))


def run_study(study: Study, out_dir: str | Path, on_progress: Progress | None = None) -> Path:
    """Measure the cases that `<name>.csv` does not hold yet, then draw `<name>.png`.

    Returns the path of the CSV. An interrupted run goes on where it stopped. Raises
    `MissingExtraError`, before anything is measured, without matplotlib, and `InputError` if the
    CSV there compares other policies.
    """
    _figures()
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{study.name}.csv"
    _refuse_other_policies(path, study)
    done = _done_cases(path, study)
    for position, case in enumerate(study.cases):
        if _key(case) in done:
            continue
        if on_progress is not None:
            on_progress(position, len(study.cases), ", ".join(map(str, case.values())))
        _append(path, [{**case, **row} for row in study.measure(case)])
    if on_progress is not None:
        on_progress(len(study.cases), len(study.cases), "done")
    _figure(study, _read(path), folder / f"{study.name}.png")
    return path


def _key(case: Case) -> tuple[str, ...]:
    return tuple(str(value) for value in case.values())


def _done_cases(path: Path, study: Study) -> set[tuple[str, ...]]:
    if not path.exists() or not study.cases:
        return set()
    columns = list(study.cases[0])
    return {tuple(row[column] for column in columns) for row in _read_text(path)}


def _refuse_other_policies(path: Path, study: Study) -> None:
    held = {row["policy"] for row in _read_text(path)} if study.policies and path.exists() else None
    if held and held != set(study.policies):
        raise InputError(
            f"{path} compares {', '.join(sorted(held))}; write what compares "
            f"{', '.join(sorted(study.policies))} into another folder"
        )


def _append(path: Path, rows: Sequence[Row]) -> None:
    """All rows of a case at once, so that a case is either there or not."""
    if not rows:
        return
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        if fresh:
            writer.writeheader()
        writer.writerows(rows)


def _read_text(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _read(path: Path) -> list[Row]:
    return [{key: _number(text) for key, text in row.items()} for row in _read_text(path)]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _figures() -> Any:
    """`matplotlib.figure`: its figures are saved without a display and without global state."""
    return import_extra("matplotlib.figure", "experiments", "a figure of an experiment")


def _figure(study: Study, rows: Sequence[Row], path: Path) -> None:
    figure = _figures().Figure(figsize=(6.4 * study.panels, 4.0), layout="constrained")
    figure.suptitle(study.title)
    axes = figure.subplots(1, study.panels)
    study.draw(rows, axes if study.panels == 1 else list(axes))
    figure.savefig(path, dpi=150)
