"""Verbs of planning problems that need no cluster: `testbed problem sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from planner.instances import FAMILIES, REGIMES, sample_problem
from serving.cli.cluster_verbs import Json
from serving.cli.console import Output

__all__ = ["problems"]

problems = typer.Typer(help="Planning problems from published figures.", no_args_is_help=True)


@problems.callback()
def _group() -> None:
    """Planning problems from published figures."""


@problems.command()
def sample(
    family: Annotated[str, typer.Option(help=", ".join(FAMILIES))] = "taskonomy",
    regime: Annotated[str, typer.Option(help=", ".join(REGIMES))] = "mixed",
    edges: Annotated[int, typer.Option(min=1)] = 4,
    clients_per_edge: Annotated[int, typer.Option(min=1)] = 10,
    seed: int = 0,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("out/problem.json"),
    as_json: Json = False,
) -> None:
    """Draw a problem: real model figures, real devices and links, random mixes of tasks."""
    out = Output(as_json)
    drawn = sample_problem(family, regime, edges, clients_per_edge, seed)
    drawn.save(output)
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
