"""The verb that does everything: demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.providers import ray_driver
from cluster.specs import SPECS
from cluster.topology import Topology
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json, Seed, WatchPort, load_setting
from serving.cli.options import DURATION_S, number
from serving.cli.output import check_folder

__all__ = ["VERBS"]


def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="folder of the results")] = Path(
        "out/demo"
    ),
    duration: Annotated[
        float | None, number(DURATION_S, help="length of a phase; default: the file's")
    ] = None,
    profiles: Annotated[
        Path | None,
        typer.Option("--profiles", help="what `profile` measured; default: measured now"),
    ] = None,
    seed: Seed = 1,
    watch: Annotated[
        bool, typer.Option("--watch", help="keep the page open at the end, until Ctrl-C")
    ] = False,
    port: WatchPort = None,
    as_json: Json = False,
) -> None:
    """The whole system, end to end, on this machine: up, profile, plan, deploy, drive, report.

    A page shows it meanwhile; its address is printed.
    """
    check_folder(out_dir, "--out")
    known = None if profiles is None else load_setting(Topology.load(SPECS / "demo.yaml"), profiles)
    ray_driver.prepare_ray()
    from serving.cli.demo import run_demo

    out = VerbOutput(as_json)
    code = run_demo(
        out, out_dir, seed=seed, duration_s=duration, known=known, port=port, watch=watch
    )
    if code:
        raise typer.Exit(code)


VERBS = (demo,)
