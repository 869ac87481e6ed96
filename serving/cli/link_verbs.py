"""Links of the running cluster: `testbed link`, which changes them while traffic flows, and
`testbed net check`, which measures them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError
from rich.table import Table

from cluster.errors import InputError
from cluster.link import link_name
from cluster.measured_links import MeasuredLink, MeasuredLinks
from cluster.provenance import collect_provenance
from cluster.providers import ray_driver
from cluster.topology import LEAST_BANDWIDTH, Link
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.inputs import Json, RunName
from serving.cli.link_words import check_link, condition_data, rate_words
from serving.cli.options import MEASURE_S, MEBIBYTES, RTT_S, number
from serving.cli.output import LooseOutput, check_output
from serving.cli.run_verbs import running_fleet
from serving.cli.run_work import RunWork
from serving.node.links.link_condition import LinkCondition
from serving.node.links.link_probe import LinkProbe, ProbeLimits
from serving.runs.manifest import FileKind

if TYPE_CHECKING:
    from serving.deploy.fleet import Fleet

__all__ = ["links", "net"]

PLANNED = (FileKind.PROFILES, FileKind.DEMAND, FileKind.PROBLEM, FileKind.PLAN)
"""stay as they are when links are measured anew, unless they were made for measured links"""

links = typer.Typer(help="Links of the running cluster: see and change them.", no_args_is_help=True)
net = typer.Typer(help="What the links of the running cluster are like.", no_args_is_help=True)
Source = Annotated[str, typer.Argument(help="the node below")]
Target = Annotated[str, typer.Argument(help="the node above")]


def _bandwidth(given: str) -> int:
    try:
        size = int(TypeAdapter(ByteSize).validate_python(given))
    except ValidationError:
        size = 0
    if size < LEAST_BANDWIDTH:
        raise InputError(
            f"--bandwidth: expected bytes a second with their unit, such as 100KB, got "
            f"{given[:40]!r}"
        )
    return size


@links.callback()
def _links() -> None:
    """Links of the running cluster: see and change them."""


@net.callback()
def _net() -> None:
    """What the links of the running cluster are like."""


@links.command(name="set")
def set_link(
    source: Source,
    target: Target,
    bandwidth: Annotated[
        str | None, typer.Option(metavar="BYTES", help="a second, such as 100KB")
    ] = None,
    rtt: Annotated[float | None, number(RTT_S, help="round trip")] = None,
    as_json: Json = False,
) -> None:
    """Give a link another bandwidth or round trip, while traffic flows; what is left out stays."""
    if bandwidth is None and rtt is None:
        raise InputError("say what to set: --bandwidth 100KB, --rtt 0.02, or both")
    bytes_per_s = None if bandwidth is None else _bandwidth(bandwidth)

    def changed(now: LinkCondition) -> LinkCondition:
        given = LinkCondition(bytes_per_s=bytes_per_s, rtt_s=rtt)
        return replace(
            given,
            bytes_per_s=now.bytes_per_s if bandwidth is None else given.bytes_per_s,
            rtt_s=now.rtt_s if rtt is None else given.rtt_s,
        )

    _change(VerbOutput(as_json), source, target, changed)


@links.command()
def cut(source: Source, target: Target, as_json: Json = False) -> None:
    """Cut a link: nothing crosses it, and both ends know it, until it is set or restored."""
    _change(VerbOutput(as_json), source, target, lambda _: LinkCondition(share=0.0))


@links.command()
def restore(source: Source, target: Target, as_json: Json = False) -> None:
    """Let a link be as the topology has it."""
    _change(VerbOutput(as_json), source, target, lambda _: LinkCondition())


@links.command(name="list")
def list_links(as_json: Json = False) -> None:
    """What the links are stated to be, what they are set to now, and what went up them."""
    out = VerbOutput(as_json)
    state = ray_driver.connect()
    snapshots = running_fleet(state).snapshots()
    table = Table("link", "bandwidth", "round trip", "now", "sent")
    rows: list[dict[str, Any]] = []
    for link in state.topology.links:
        seen = snapshots[link.source]
        condition = seen.link_conditions.get(link.target, LinkCondition())
        sent_bytes = seen.links[link.target].sent_bytes if link.target in seen.links else 0
        table.add_row(
            link.name,
            rate_words(link.bytes_per_s) + (" on average" if link.trace else ""),
            f"{link.rtt_s * 1e3:g} ms",
            str(condition),
            f"{sent_bytes / 1e6:.1f} MB",
        )
        rows.append(
            {
                "source": link.source, "target": link.target,
                "bytes_per_s": link.bytes_per_s, "rtt_s": link.rtt_s,
                "trace": link.trace.file if link.trace else None,
                **condition_data(condition), "sent_bytes": sent_bytes,
            }
        )  # fmt: skip
    out.table(table)
    out.result({"links": rows})
    ray_driver.disconnect()


@net.command()
def check(
    most: Annotated[
        float, number(MEBIBYTES, help="of probes a link, at most; three are always sent")
    ] = 2.0,
    seconds: Annotated[float, number(MEASURE_S, help="a link is measured, at most")] = 3.0,
    run: RunName = None,
    output: LooseOutput = None,
    as_json: Json = False,
) -> None:
    """Measure bandwidth and round trip of every link, beside what the topology says.

    Bytes go from node to node as queries do, and have their turn among them: queries that flow
    meanwhile find that much less room. Writes links.json, with which `testbed plan --links
    measured` plans. Ends with code 3 where a link could not be measured.
    """
    out = VerbOutput(as_json)
    if output is not None:
        check_output(output)
    state = ray_driver.connect()
    work = RunWork(out, run, along=PLANNED)
    work.note_topology(state.topology, measured=True)
    output = work.writes((FileKind.LINKS,), output)
    fleet = running_fleet(state)
    limits = ProbeLimits(most_bytes=int(most * 2**20), most_s=seconds)
    found = []
    out.say("measuring takes from what queries may have of each link meanwhile")
    with out.progress("measuring links") as advance:
        for position, link in enumerate(state.topology.links):
            advance(position, len(state.topology.links), link.name)
            found.append(_measured(fleet, link, fleet.probe_link(link.source, link.target, limits)))
        advance(len(found), len(found))
    measured = MeasuredLinks(
        topology=state.topology.name,
        links=tuple(found),
        provenance=collect_provenance("testbed net check", packages=("ray",)),
    )
    work.save(FileKind.LINKS, measured.save)
    done = work.finish()
    out.table(_table(measured))
    out.wrote(output)
    out.result(
        {
            "links": [link.model_dump(mode="json") for link in measured.links],
            "file": str(output),
            "run": None if done is None else done.name,
        }
    )
    ray_driver.disconnect()
    if any(link.fault for link in measured.links):
        raise typer.Exit(ExitCode.NOT_MET)


def _measured(fleet: Fleet, link: Link, probe: LinkProbe) -> MeasuredLink:
    condition = fleet.link_condition(link.source, link.target)
    return MeasuredLink(
        source=link.source,
        target=link.target,
        bytes_per_s=probe.bytes_per_s or None,
        rtt_s=None if probe.fault else probe.rtt_s,
        stated_bytes_per_s=link.bytes_per_s,
        stated_rtt_s=link.rtt_s,
        probe_bytes=probe.probe_bytes,
        traffic_bytes=probe.traffic_bytes,
        condition=None if condition.is_as_stated else str(condition),
        fault=probe.fault or None,
    )


def _table(measured: MeasuredLinks) -> Table:
    table = Table("link", "bandwidth", "stated", "round trip", "stated", "note")
    for link in measured.links:
        notes = [link.fault, f"set: {link.condition}" if link.condition else None]
        if link.traffic_bytes:
            notes.append(f"beside {link.traffic_bytes / 1e3:.0f} KB of queries")
        table.add_row(
            link.name,
            "-" if link.bytes_per_s is None else rate_words(link.bytes_per_s),
            rate_words(link.stated_bytes_per_s),
            "-" if link.rtt_s is None else f"{link.rtt_s * 1e3:.1f} ms",
            f"{link.stated_rtt_s * 1e3:g} ms",
            "; ".join(note for note in notes if note),
        )
    return table


def _change(
    out: VerbOutput, source: str, target: str, changed: Callable[[LinkCondition], LinkCondition]
) -> None:
    state = ray_driver.connect()
    check_link(state.topology, source, target)
    fleet = running_fleet(state)
    condition = changed(fleet.link_condition(source, target))
    with out.busy(f"changing the link {link_name(source, target)}", changes=True):
        fleet.set_link(source, target, condition)
    out.say(f"the link {link_name(source, target)} is {condition} now")
    out.result({"source": source, "target": target, **condition_data(condition)})
    ray_driver.disconnect()
