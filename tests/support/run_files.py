"""A run on disk, as the verbs leave it, made from parts without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from planner.plan import Plan
from planner.policies import solve
from profiling.profile import Profiles
from serving.runs.find import begin_run, list_runs
from serving.runs.manifest import FILE_NAMES, FileKind, RunFile
from serving.runs.run_folder import RunFolder, now
from serving.setting.setting import Setting
from serving.traffic.measurement import Measurements
from support.demo_setting import demo_demand

__all__ = ["as_measured", "newest_run", "put_run", "run_file"]

MADE_FROM = {
    FileKind.PROBLEM: (FileKind.TOPOLOGY, FileKind.PROFILES),
    FileKind.PLAN: (FileKind.PROBLEM, FileKind.PROFILES),
    FileKind.MEASUREMENTS: (FileKind.PLAN,),
}


def put_run(
    folder: Path,
    setting: Setting,
    policy: str | Plan | None = None,
    measurements: Measurements | None = None,
    *,
    profiles: Profiles | None = None,
    name: str = "first",
) -> RunFolder:
    """The run `out/runs/NAME` below `folder`: topology and profiles, and with a `policy` its plan
    for the demo's first phase, and the problem of it."""
    run = begin_run(name, now(), None, folder / "out" / "runs")
    files: dict[FileKind, RunFile] = {}

    def put(kind: FileKind, document: object) -> None:
        document.save(run.folder / FILE_NAMES[kind])  # type: ignore[attr-defined]
        made_from = {
            other: files[other].sha256 for other in MADE_FROM.get(kind, ()) if other in files
        }
        files[kind] = run.describe(kind, FILE_NAMES[kind], "testbed test", made_from)

    put(FileKind.TOPOLOGY, setting.topology)
    put(FileKind.PROFILES, profiles or setting.profiles)
    if policy is not None:
        problem = setting.problem(demo_demand().phases[0])
        put(FileKind.PROBLEM, problem)
        put(FileKind.PLAN, policy if isinstance(policy, Plan) else solve(problem, policy).plan)
    if measurements is not None:
        put(FileKind.MEASUREMENTS, measurements)
    return run.record(files)


def as_measured(rows: Measurements) -> Measurements:
    """Simulated `rows` as if a running system had measured them."""
    provenance = rows.run.provenance.model_copy(update={"command": "testbed drive"})
    return replace(rows, run=rows.run.model_copy(update={"provenance": provenance}))


def newest_run(folder: Path) -> RunFolder:
    """The run that verbs take if none is named."""
    return list_runs(folder / "out" / "runs")[0]


def run_file(folder: Path, name: str) -> Path:
    """A file of the newest run."""
    return newest_run(folder).folder / name
