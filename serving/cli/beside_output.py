"""Two runs on one page, for `testbed report A B`."""

from __future__ import annotations

from pathlib import Path

from cluster.document import write_atomically
from cluster.errors import InputError
from cluster.topology import Topology
from planner.plan import Plan
from planner.policies.recompute import recompute
from planner.problem import Problem
from serving.cli.console import VerbOutput
from serving.cli.output import check_output, save_result
from serving.report.beside import beside_rows, render_beside
from serving.report.html import Page
from serving.report.write import make_page
from serving.runs.find import known_run
from serving.runs.manifest import FileKind
from serving.runs.run_folder import RunFolder
from serving.traffic.measurement import Measurements

__all__ = ["tell_beside"]

PAGE = Path("out/beside.html")


def tell_beside(out: VerbOutput, names: list[str], output: Path | None) -> None:
    """Write the page of two runs, into the folder `output` or as out/beside.html, and say its
    figures. Raises `InputError` for other than two runs, and for one without measurements."""
    if len(names) != 2:
        raise InputError(
            f"{' '.join(names)}: name two runs to set them side by side; --run names one"
        )
    path = PAGE if output is None else output / PAGE.name
    check_output(path)
    runs = [known_run(name, option="report") for name in names]
    pages = (_page_of(runs[0]), _page_of(runs[1]))
    pair = (runs[0].name, runs[1].name)
    rows = list(beside_rows(pair, pages))
    html = render_beside(pair, pages, rows)
    save_result(lambda place: write_atomically(place, html), path)
    for row in rows:
        difference = f"  ({row.difference})" if row.difference else ""
        out.say(f"{row.name}: {row.first} and {row.second}{difference}")
    out.wrote(path)
    out.result(
        {
            "page": str(path),
            "figures": {row.name: [row.first, row.second, row.difference] for row in rows},
        }
    )


def _page_of(run: RunFolder) -> Page:
    if not run.has(FileKind.MEASUREMENTS):
        raise InputError(
            f"{run.name}: has no measurements; `testbed drive --run {run.name}` makes them"
        )
    rows = Measurements.load(run.checked(FileKind.MEASUREMENTS))
    kind = run.measured_under
    plan = Plan.load(run.checked(kind))
    if kind is FileKind.PLAN:
        plan = recompute(plan, Problem.load(run.checked(FileKind.PROBLEM))).plan
    topology = Topology.load(run.checked(FileKind.TOPOLOGY))
    return make_page(plan, rows, command="testbed report", topology=topology.name)
