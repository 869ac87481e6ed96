"""The verb that lists runs, sets two of them side by side, and opens a run's report: runs."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from cluster.demand import Demand
from cluster.errors import InputError
from cluster.topology import Topology
from planner.plan import Plan
from planner.policies.recompute import recompute
from planner.problem import Problem
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json
from serving.runs.find import RUNS, known_run, list_runs
from serving.runs.manifest import FileKind
from serving.runs.run_folder import RunFolder
from serving.traffic.measurement import Measurements
from serving.traffic.summary import summarise_run

__all__ = ["VERBS"]

CHANGED = "changed"
"""shown of a file that is not as it was written"""


def runs(
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option("--compare", help="two runs, whose files and figures are set side by side"),
    ] = None,
    open_: Annotated[
        str | None, typer.Option("--open", help="run whose report page is named, and shown")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the runs, the newest first: what each is of, what its plan promised, what came back."""
    out = VerbOutput(as_json)
    if compare is not None and open_ is not None:
        raise InputError("--compare: it cannot go with --open; leave one of them out")
    if open_ is not None:
        _open(out, known_run(open_, option="--open"))
    elif compare is not None:
        _compare(out, *(known_run(name, option="--compare") for name in compare))
    else:
        _list(out)


def figures_of(run: RunFolder) -> dict[str, Any]:
    """What a run is of and what came of it; a figure of a file that does not belong is `changed`,
    and one of a file that it has not is None."""
    return {
        "run": run.name,
        "created_at": run.manifest.created_at,
        "from_run": run.manifest.from_run,
        "topology": _value(run, FileKind.TOPOLOGY, lambda path: Topology.load(path).name),
        "demand": _value(run, FileKind.DEMAND, lambda path: Demand.load(path).name),
        "policy": _value(run, FileKind.PLAN, lambda path: Plan.load(path).policy),
        "promised": _value(run, FileKind.PLAN, lambda path: _promised(run, path)),
        "measured": _value(run, FileKind.MEASUREMENTS, _accuracy),
        "simulated": _value(run, FileKind.SIMULATED, _accuracy),
    }


def _promised(run: RunFolder, plan: Path) -> float:
    """The mean accuracy (F1) that follows from plan and problem."""
    problem = Problem.load(run.checked(FileKind.PROBLEM))
    return recompute(Plan.load(plan), problem).evaluation.objective


def _accuracy(measurements: Path) -> float:
    return summarise_run(Measurements.load(measurements)).accuracy


def _value(run: RunFolder, kind: FileKind, read: Any) -> Any:
    if not run.has(kind):
        return None
    try:
        return read(run.checked(kind))
    except InputError:
        return CHANGED


def _list(out: VerbOutput) -> None:
    found = [figures_of(run) for run in list_runs()]
    if not found:
        out.say(f"there is no run in {RUNS}; `testbed profile` begins one")
    else:
        # Topology and year stand in the names that runs are given, and --json has both.
        table = Table(
            Column("run", no_wrap=True), "when (UTC)", "demand", "policy", "promised →\nmeasured"
        )
        for row in found:
            when = str(row["created_at"])[5:16].replace("T", " ")
            came = _shown(row["measured"])
            if row["measured"] is None and row["simulated"] is not None:
                came = f"{_shown(row['simulated'])} simulated"
            figures = f"{_shown(row['promised'])} → {came}"
            table.add_row(row["run"], when, _shown(row["demand"]), _shown(row["policy"]), figures)
        out.table(table)
    out.result({"runs": found})


def _compare(out: VerbOutput, first: RunFolder, second: RunFolder) -> None:
    kinds = [kind for kind in FileKind if first.has(kind) or second.has(kind)]
    files = {str(kind): _difference(first, second, kind) for kind in kinds}
    table = Table("", first.name, second.name)
    for kind in kinds:
        shown = [(each.digest(kind) or "–")[:12] for each in (first, second)]
        table.add_row(f"{kind.words}: {files[kind]}", *shown)
    one, other = figures_of(first), figures_of(second)
    for key in ("topology", "demand", "policy", "promised", "measured", "simulated"):
        table.add_row(key, _shown(one[key]), _shown(other[key]))
    out.table(table)
    out.result({"runs": [one, other], "files": files})


def _difference(first: RunFolder, second: RunFolder, kind: FileKind) -> str:
    digests = first.digest(kind), second.digest(kind)
    if None in digests:
        return f"only in {(second if digests[0] is None else first).name}"
    return "the same" if digests[0] == digests[1] else "another"


def _open(out: VerbOutput, run: RunFolder) -> None:
    try:
        page = run.checked(FileKind.REPORT).with_name("report.html").absolute()
    except InputError as error:
        raise InputError(f"{error}; `testbed report --run {run.name}` writes one") from None
    out.say(f"{page}")
    if _has_desktop() and not out.as_json:
        webbrowser.open(page.as_uri())
    out.result({"run": run.name, "page": str(page)})


def _has_desktop() -> bool:
    """Whether a page would be shown to the person who asked, on a screen of this machine."""
    if not sys.stdout.isatty():
        return False
    return sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


VERBS = (runs,)
