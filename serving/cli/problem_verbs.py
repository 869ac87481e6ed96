"""Planning problems that need no cluster: `testbed problem sample`."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.errors import InputError
from planner.instances import FAMILIES, REGIMES, sample_problem
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json
from serving.cli.options import CLIENTS, EDGES, REACH, SEED, number
from serving.cli.output import LooseOutput
from serving.cli.run_work import RunWork
from serving.runs.manifest import FileKind

__all__ = ["problems"]

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
    run: Annotated[
        str | None, typer.Option("--run", help="name of the run that begins; default: its kind")
    ] = None,
    output: LooseOutput = None,
    as_json: Json = False,
) -> None:
    """Draw a problem: real model figures, real devices and links, random mixes of tasks."""
    out = VerbOutput(as_json)
    work = RunWork(out, run, begins=True, fresh=True, stem=f"{family}-{regime}")
    output = work.writes((FileKind.PROBLEM,), output)
    if edges * clients_per_edge > MOST_CLIENTS:
        raise InputError(
            f"--edges {edges} times --clients-per-edge {clients_per_edge} is more than "
            f"{MOST_CLIENTS} clients; give fewer"
        )
    drawn = sample_problem(family, regime, edges, clients_per_edge, seed, reach=reach)
    work.save(FileKind.PROBLEM, drawn.save)
    done = work.finish()
    out.say(
        f"{family}, {regime}: {len(drawn.edges)} edges, {len(drawn.clients)} clients, "
        f"{len(drawn.models)} models, {len(drawn.tasks)} tasks, "
        f"{drawn.total_load_qps:.0f} queries/s; wrote {output}"
    )
    out.result(
        {
            "problem": str(output),
            "run": None if done is None else done.name,
            "digest": drawn.digest,
            "edges": len(drawn.edges),
            "clients": len(drawn.clients),
            "models": len(drawn.models),
        }
    )
