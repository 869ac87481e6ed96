"""Recorded arrivals of other projects, made into files that `replay` reads: `testbed trace`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.proteus_traces import read_proteus_folder
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json
from serving.cli.output import check_folder, save_result

__all__ = ["traces"]

traces = typer.Typer(help="Recorded arrivals of other projects.", no_args_is_help=True)


@traces.callback()
def _group() -> None:
    """Recorded arrivals of other projects."""


@traces.command()
def proteus(
    folder: Annotated[Path, typer.Argument(help="of traces, in a clone of UMass-LIDS/Proteus")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder")] = Path("out/traces"),
    as_json: Json = False,
) -> None:
    """Make Proteus' traces into CSVs, one an application, for arrivals of `kind: replay`."""
    out = VerbOutput(as_json)
    check_folder(output)
    written = []
    for trace in read_proteus_folder(folder):
        path = output / f"{trace.application}.csv"
        save_result(trace.save, path)
        count = len(trace.times_s_n)
        out.say(f"{trace.application}: {count} arrivals in {trace.duration_s:.0f} s; wrote {path}")
        written.append(
            {
                "application": trace.application,
                "arrivals": count,
                "duration_s": trace.duration_s,
                "file": str(path),
            }
        )
    out.result({"traces": written})
