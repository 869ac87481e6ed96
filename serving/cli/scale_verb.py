"""The verb that measures how the control path grows with the number of nodes: scale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cluster.errors import UnknownNameError
from cluster.machine import read_machine
from cluster.provenance import collect_provenance
from cluster.provider_choice import choice_of
from cluster.providers import lifecycle
from cluster.providers.state import ClusterError, find_cluster
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json
from serving.cli.options import CHANGES, NULL_NODES, number
from serving.cli.output import check_output, save_result
from serving.cli.run_work import COMMAND
from serving.scale.measure import measure_scale
from serving.scale.null_cluster import make_null_cluster
from serving.scale.result import ScaleResult, ScaleRow, Slope, slopes_of
from serving.scale.room import refusal_of

__all__ = ["VERBS"]

PROVIDERS = ("local", "netns")
"""those that make nodes of this machine"""


def scale(
    nodes: Annotated[str, typer.Option(help="numbers of nodes, with commas between")] = "4,8,16",
    out: Annotated[Path | None, typer.Option(help="JSON file of the figures")] = None,
    provider: Annotated[
        str, typer.Option(help=f"what brings them up: {' or '.join(PROVIDERS)}")
    ] = "local",
    changes: Annotated[int, number(CHANGES, help="of plan, of which the median counts")] = 5,
    as_json: Json = False,
) -> None:
    """Bring up clusters of null nodes, which compute nothing, and measure what each takes.

    The control path is the real one: Ray, a process a node, plans, doors and links. Ends with the
    largest cluster that the machine's memory bears, and takes each down before the next.
    """
    said = VerbOutput(as_json)
    counts = _counts(nodes)
    if provider not in PROVIDERS:
        raise UnknownNameError(
            f"--provider {provider}: null nodes are measured on this machine, by "
            f"{' or '.join(PROVIDERS)}"
        )
    if out is not None:
        check_output(out, "--out")
    up = find_cluster()
    if up is not None and up.alive:
        raise ClusterError(f"cluster {up.topology.name!r} is up; run `testbed down` first")
    command = COMMAND.get()
    lifecycle.check(make_null_cluster(counts[0], command).topology, choice_of(None, provider))
    rows: list[ScaleRow] = []
    stopped = None
    for count in counts:
        stopped = refusal_of(count, read_machine().memory_bytes, rows)
        if stopped is not None:
            said.say(f"stopped: {stopped}")
            break
        with said.busy(f"measuring {count} null nodes"):
            rows.append(measure_scale(count, provider, changes, command))
    if not rows:
        raise ClusterError(f"nothing was measured: {stopped}")
    result = ScaleResult(
        provider=provider,
        rows=tuple(rows),
        slopes=slopes_of(rows),
        stopped=stopped,
        provenance=collect_provenance(command, packages=("ray", "numpy")),
    )
    said.tables(*_tables(rows))
    if result.slopes:
        said.table(_slope_table(result.slopes))
    if out is not None:
        save_result(result.save, out)
        said.wrote(out)
    said.result(result.model_dump(mode="json"))


def _counts(given: str) -> list[int]:
    """The numbers of nodes, rising. Raises `typer.BadParameter`."""
    try:
        found = {int(NULL_NODES.parse(part.strip())) for part in given.split(",")}
    except typer.BadParameter as fault:
        words = f"{fault.message}, with commas between"
        raise typer.BadParameter(words, param_hint="--nodes") from None
    return sorted(found)


def _tables(rows: list[ScaleRow]) -> tuple[Table, Table]:
    times = Table("nodes", "up", "launch", "first plan", "new routes", "slowest", "answer", "down",
                  title="seconds")  # fmt: skip
    memory = Table("nodes", "resident", "proportional", "all",
                   title="memory: of a node, and of all of them with Ray")  # fmt: skip
    for row in rows:
        times.add_row(
            str(row.nodes),
            f"{row.up_s:.1f}",
            f"{row.launch_s:.1f}",
            f"{row.first_plan_s:.2f}",
            f"{row.distribution_s:.2f}",
            f"{row.slowest_distribution_s:.2f}",
            f"{row.answer_s:.3f}",
            f"{row.down_s:.1f}",
        )
        memory.add_row(
            str(row.nodes),
            _mib(row.node_resident.median_bytes),
            _mib(row.node_proportional.median_bytes),
            _mib(row.cluster_bytes),
        )
    return times, memory


def _slope_table(slopes: tuple[Slope, ...]) -> Table:
    table = Table("figure", "for no nodes", "for each node more", "standard error")
    for slope in slopes:
        shown = _mib if slope.figure.endswith("_bytes") else _seconds
        error = "" if slope.standard_error is None else shown(slope.standard_error)
        table.add_row(slope.figure, shown(slope.at_none), shown(slope.each_node), error)
    return table


def _mib(size_bytes: float) -> str:
    return f"{size_bytes / 2**20:.0f} MiB"


def _seconds(spent_s: float) -> str:
    return f"{spent_s:.3f} s"


VERBS = (scale,)
