"""Verbs of planning that need no cluster: `testbed problem sample`, `testbed experiment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.errors import InputError, UnknownNameError
from planner.instances import FAMILIES, REGIMES, sample_problem
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json
from serving.cli.options import CLIENTS, EDGES, REACH, REPETITIONS, SEED, number
from serving.cli.output import check_folder, check_output, save_result

__all__ = ["VERBS", "problems"]

MOST_CLIENTS = 100_000
"""of a problem: ten times the largest that the experiments plan"""

problems = typer.Typer(help="Planning problems from published figures.", no_args_is_help=True)


@problems.callback()
def _group() -> None:
    """Planning problems from published figures."""


@problems.command()
def sample(
    family: Annotated[str, typer.Option(help=", ".join(FAMILIES))] = "taskonomy",
    regime: Annotated[str, typer.Option(help=", ".join(REGIMES))] = "mixed",
    edges: Annotated[int, number(EDGES, help="edge servers")] = 4,
    clients_per_edge: Annotated[int, number(CLIENTS, help="clients of each edge")] = 10,
    reach: Annotated[int, number(REACH, help="edges that a client reaches (F12)")] = 1,
    seed: Annotated[int, number(SEED, help="seed of the draw")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("out/problem.json"),
    as_json: Json = False,
) -> None:
    """Draw a problem: real model figures, real devices and links, random mixes of tasks."""
    out = VerbOutput(as_json)
    check_output(output)
    if edges * clients_per_edge > MOST_CLIENTS:
        raise InputError(
            f"--edges {edges} times --clients-per-edge {clients_per_edge} is more than "
            f"{MOST_CLIENTS} clients; give fewer"
        )
    drawn = sample_problem(family, regime, edges, clients_per_edge, seed, reach=reach)
    save_result(drawn.save, output)
    out.say(
        f"{family}, {regime}: {len(drawn.edges)} edges, {len(drawn.clients)} clients, "
        f"{len(drawn.models)} models, {len(drawn.tasks)} tasks, "
        f"{drawn.total_load_qps:.0f} queries/s; wrote {output}"
    )
    out.result(
        {
            "problem": str(output),
            "digest": drawn.digest,
            "edges": len(drawn.edges),
            "clients": len(drawn.clients),
            "models": len(drawn.models),
        }
    )


def experiment(
    name: Annotated[str | None, typer.Argument(help="see --list")] = None,
    seeds: Annotated[
        int | None, number(REPETITIONS, help="problems of each kind; default: the experiment's own")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder")] = Path("out/figures"),
    list_: Annotated[bool, typer.Option("--list", help="list the experiments and stop")] = False,
    as_json: Json = False,
) -> None:
    """Repeat an experiment of the paper at the planning level; writes a CSV and a figure.

    An interrupted run goes on where it stopped.
    """
    out = VerbOutput(as_json)
    from planner.experiments import EXPERIMENTS

    if list_ or name is None:
        out.say("\n".join(EXPERIMENTS))
        out.result({"experiments": list(EXPERIMENTS)})
        return
    if name not in EXPERIMENTS:
        raise UnknownNameError(f"no experiment {name!r} (valid: {', '.join(EXPERIMENTS)})")
    check_folder(output)
    with out.progress(name) as advance:
        options = {} if seeds is None else {"seeds": seeds}
        written = EXPERIMENTS[name](output, on_progress=advance, **options)
    out.say(f"wrote {written} and its figure")
    out.result({"experiment": name, "rows": str(written)})


VERBS = (experiment,)
