"""The verb that repeats experiments: at the planning level, in simulated time or on a cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from inspect import getdoc, getmodule, signature
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cluster.demand import Demand
from cluster.errors import InputError, UnknownNameError
from cluster.providers import ray_driver
from cluster.specs import SPECS
from cluster.topology import Topology
from planner.policies import find_policy
from serving.cli.console import VerbOutput
from serving.cli.inputs import (
    ImageCount,
    Json,
    ProfilesFile,
    RunName,
    load_labelled,
    load_setting,
)
from serving.cli.options import REPETITIONS, number
from serving.cli.output import check_folder
from serving.cli.run_work import RunWork
from serving.runs.manifest import FileKind
from serving.setting.setting import Setting

__all__ = ["VERBS"]

TRACED = "bursts"
"""the experiment that replays recorded arrivals"""


def experiment(
    name: Annotated[str | None, typer.Argument(help="see --list")] = None,
    seeds: Annotated[
        int | None, number(REPETITIONS, help="problems or runs of each case; default: its own")
    ] = None,
    profiles: ProfilesFile = None,
    run: RunName = None,
    trace: Annotated[
        list[Path] | None, typer.Option(help=f"CSV of recorded arrivals, for {TRACED}; repeatable")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="compared beside the experiment's own; repeatable; or package.module:function"
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder")] = Path("out/figures"),
    live: Annotated[
        bool, typer.Option("--live", help="on a Ray cluster of its own, with real traffic")
    ] = False,
    images: ImageCount = 240,
    list_: Annotated[bool, typer.Option("--list", help="list the experiments and stop")] = False,
    as_json: Json = False,
) -> None:
    """Repeat an experiment; writes a CSV and a figure.

    Those at the planning level are the paper's, on published figures. Those in simulated time drive
    the demo's load through the simulated system, on what `testbed profile` measured (--profiles).
    With --live they start a cluster, and each run takes as long as its traffic. An interrupted
    experiment goes on where it stopped.
    """
    out = VerbOutput(as_json)
    from planner.experiments import EXPERIMENTS as PLANNED
    from serving.experiments import EXPERIMENTS as SIMULATED
    from serving.experiments import LIVE_EXPERIMENTS as LIVE

    if list_ or name is None:
        _list(out, {"at the planning level": PLANNED, "in simulated time": SIMULATED})
        out.say(f"[bold]on a cluster, with --live[/]: {', '.join(LIVE)}")
        out.result({"experiments": [*PLANNED, *SIMULATED], "live": [*LIVE]})
        return
    valid = [*LIVE] if live else [*PLANNED, *SIMULATED]
    if name not in valid:
        how = " --live" if live else ""
        raise UnknownNameError(f"no experiment {name!r}{how} (valid: {', '.join(valid)})")
    if trace and name != TRACED:
        raise InputError(f"--trace: {name} replays none, only {TRACED} does; leave it out")
    also = [find_policy(named).name for named in policy or ()]
    every = {**PLANNED, **(LIVE if live else SIMULATED)}
    comparing = [known for known in valid if "also" in signature(every[known]).parameters]
    if also and name not in comparing:
        raise InputError(f"--policy: {name} compares none, only {', '.join(comparing)} do")
    check_folder(output)
    options: dict[str, object] = {} if seeds is None else {"seeds": seeds}
    if also:
        options["also"] = also
    if trace:
        from serving.experiments.bursts import cases

        cases(trace)  # refuses a trace that cannot be read before a cluster starts
        options["traces"] = trace

    def setting() -> Setting:
        file = RunWork(out, run).read(FileKind.PROFILES, profiles, "--profiles")
        return load_setting(Topology.load(SPECS / "demo.yaml"), file)

    if live:
        written = _run_live(out, name, output, setting(), images, options)
    elif name in SIMULATED:
        with out.progress(name) as advance:
            written = SIMULATED[name](output, setting(), on_progress=advance, **options)
    else:
        with out.progress(name) as advance:
            written = PLANNED[name](output, on_progress=advance, **options)
    out.say(f"wrote {written} and its figure")
    out.result({"experiment": name, "rows": str(written)})


def _list(out: VerbOutput, groups: Mapping[str, Mapping[str, Callable[..., Path]]]) -> None:
    """Say which experiments there are, and what each is about: how its module begins."""
    for where, experiments in groups.items():
        out.say(f"[bold]{where}[/]:")
        for name, run in experiments.items():
            said = " ".join((getdoc(getmodule(run)) or "").split("\n\n")[0].split())
            about = re.sub(r"^[A-Z][a-z ]+: ", "", said).rstrip(".")
            out.write(Text(f"  {name:<25}{about[:1].lower()}{about[1:]}"))


def _run_live(
    out: VerbOutput,
    name: str,
    output: Path,
    setting: Setting,
    images: int,
    options: dict[str, object],
) -> Path:
    """An experiment on a cluster that is started for it. Raises `ClusterError` if one is up."""
    ray_driver.prepare_ray()
    from serving.experiment_runs.on_cluster import ClusterRuns
    from serving.experiments import LIVE_EXPERIMENTS

    labelled = load_labelled(out, Demand.load(SPECS / "demo-demand.yaml").phases, images)
    with (
        ClusterRuns(labelled, f"testbed experiment {name} --live", out.say) as runs,
        out.progress(name, changes=True) as advance,
    ):
        return LIVE_EXPERIMENTS[name](output, setting, on_progress=advance, runs=runs, **options)


VERBS = (experiment,)
