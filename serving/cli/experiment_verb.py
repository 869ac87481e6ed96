"""The verb that repeats experiments: experiment, at the planning level or in simulated time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.errors import InputError, UnknownNameError
from cluster.specs import SPECS
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json, ProfilesFile, load_setting
from serving.cli.options import REPETITIONS, number
from serving.cli.output import check_folder

__all__ = ["VERBS"]

TRACED = "bursts"
"""the experiment that replays recorded arrivals"""


def experiment(
    name: Annotated[str | None, typer.Argument(help="see --list")] = None,
    seeds: Annotated[
        int | None, number(REPETITIONS, help="problems of each kind; default: the experiment's own")
    ] = None,
    profiles: ProfilesFile = Path("out/profiles.json"),
    trace: Annotated[
        list[Path] | None, typer.Option(help=f"CSV of recorded arrivals, for {TRACED}; repeatable")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder")] = Path("out/figures"),
    list_: Annotated[bool, typer.Option("--list", help="list the experiments and stop")] = False,
    as_json: Json = False,
) -> None:
    """Repeat an experiment; writes a CSV and a figure.

    Those at the planning level are the paper's, on published figures. Those in simulated time drive
    the demo's load through the simulated system, on what `testbed profile` measured (--profiles).
    An interrupted run goes on where it stopped.
    """
    out = VerbOutput(as_json)
    from planner.experiments import EXPERIMENTS as PLANNED
    from serving.experiments import EXPERIMENTS as SIMULATED

    if list_ or name is None:
        out.say(f"at the planning level: {', '.join(PLANNED)}")
        out.say(f"in simulated time: {', '.join(SIMULATED)}")
        out.result({"experiments": [*PLANNED, *SIMULATED]})
        return
    if name not in PLANNED and name not in SIMULATED:
        raise UnknownNameError(
            f"no experiment {name!r} (valid: {', '.join([*PLANNED, *SIMULATED])})"
        )
    if trace and name != TRACED:
        raise InputError(f"--trace: {name} replays none, only {TRACED} does; leave it out")
    check_folder(output)
    options: dict[str, object] = {} if seeds is None else {"seeds": seeds}
    if trace:
        options["traces"] = trace
    if name in SIMULATED:
        setting = load_setting(SPECS / "demo.yaml", profiles)
        with out.progress(name) as advance:
            written = SIMULATED[name](output, setting, on_progress=advance, **options)
    else:
        with out.progress(name) as advance:
            written = PLANNED[name](output, on_progress=advance, **options)
    out.say(f"wrote {written} and its figure")
    out.result({"experiment": name, "rows": str(written)})


VERBS = (experiment,)
