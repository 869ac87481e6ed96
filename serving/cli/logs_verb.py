"""`testbed logs`: what the nodes and the commands that changed them have said, by time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.text import Text

from cluster.errors import InputError, UnknownNameError
from cluster.providers import ray_driver
from cluster.providers.provider import provider_of
from cluster.providers.state import ClusterError, ClusterState, find_cluster, log_folder
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json
from serving.cli.options import LINES, number
from serving.logs.line import Level, LogLine
from serving.logs.read import LogFollower, Read, log_files_of

__all__ = ["DRIVER", "VERBS", "format_line"]

DRIVER = "driver"
"""the name under which this machine's commands write to the log"""
PERIOD_S = 0.5
STYLES = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}

Ask = Callable[[], Iterable[LogLine]]
"""asks nodes that write their files on other hosts for what they have logged since it last did"""


def logs(
    node: Annotated[
        str | None, typer.Argument(help=f"only this node, or `{DRIVER}`: the commands of this host")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on with what comes, until Ctrl-C")
    ] = False,
    level: Annotated[Level, typer.Option(help="leave out what matters less")] = Level.DEBUG,
    lines: Annotated[
        int, number(LINES, "--lines", "-n", help="begin with the last so many; 0: all")
    ] = 200,
    ray: Annotated[
        bool, typer.Option("--ray", help="what Ray itself said where the node is, instead")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what the nodes logged, in the order of time; of a cluster that is down, too.

    With --json one object with all lines is printed, or, with --follow, one object a line.
    """
    out = VerbOutput(as_json)
    state = find_cluster()
    if ray:
        _show_ray(out, state, node, follow, lines)
        return
    # Files are read wherever there are any: that works whatever became of the nodes, and of Ray.
    follower = LogFollower(lambda: _all_files(log_folder()), _ask_elsewhere(out, state))
    began = follower.look()
    _check_name(node, state, began)
    shown = _matching(began, node, level)[-lines:]
    if not follow:
        _print(out, shown)
        if not shown:
            out.say("nothing was logged")
        out.result({"lines": [asdict(line) for line in shown]})
        return
    try:
        while True:
            _print(out, shown, each_as_json=as_json)
            time.sleep(PERIOD_S)
            shown = _matching(follower.look(), node, level)
    except KeyboardInterrupt:
        return


def format_line(line: LogLine) -> Text:
    """The line as people read it. What callers or libraries put into it cannot steer a terminal."""
    at = (
        datetime.fromtimestamp(line.at_s)
        .astimezone()
        .replace(tzinfo=None)
        .isoformat(" ", "milliseconds")
    )
    text = Text(f"{at} {line.level:<7} {line.node}  {_harmless(line.text)}")
    text.stylize(STYLES.get(line.level, ""), 24, 24 + len(line.level))
    text.append(f"  ({line.logger})", style="dim")
    for row in line.trace.splitlines():
        text.append(f"\n    {_harmless(row)}")
    return text


def _show_ray(
    out: VerbOutput, state: ClusterState | None, node: str | None, follow: bool, lines: int
) -> None:
    """What Ray wrote where `node` is: the last lines of each of its files."""
    if node is None or follow:
        raise InputError("--ray shows the files of one node: name it, without --follow")
    if state is None:
        raise ClusterError("no cluster is up; start one with `testbed up TOPOLOGY`")
    wanted = state.topology.node(node).name
    told: dict[str, list[str]] = {}
    for path in provider_of(state.provider.kind).logs(state, wanted):
        if not path.exists():
            continue
        told[str(path)] = path.read_text(errors="replace").splitlines()[-lines:]
        out.write(Text(f"{path}:", style="bold"))
        for line in told[str(path)]:
            out.write(Text(_harmless(line)))
    if not told:
        out.say("Ray has written nothing")
    out.result({"files": told})


def _harmless(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _print(out: VerbOutput, shown: Iterable[LogLine], each_as_json: bool = False) -> None:
    for line in shown:
        if each_as_json:
            out.line_for_programs(orjson.dumps(asdict(line)).decode())
        else:
            out.write(format_line(line))


def _matching(lines: Iterable[LogLine], node: str | None, level: Level) -> list[LogLine]:
    levels = {"CRITICAL", *(known.name for known in Level if known.number >= level.number)}
    return [line for line in lines if node in (None, line.node) and line.level in levels]


def _all_files(folder: Path) -> list[Path]:
    return sorted({*folder.glob("*.log"), *folder.glob("*.log.1")})


def _check_name(node: str | None, state: ClusterState | None, lines: Iterable[LogLine]) -> None:
    names = {DRIVER, *(line.node for line in lines)}
    if state is not None:
        names |= {known.name for known in state.topology.nodes}
    if node is not None and node not in names:
        raise UnknownNameError(f"there is no node {node!r}; nodes: {', '.join(sorted(names))}")


def _ask_elsewhere(out: VerbOutput, state: ClusterState | None) -> Ask:
    """Asks the nodes that have no file on this host; there are some only where hosts are several.

    The fleet is looked for at once, and only if such nodes are there and the cluster lives.
    """
    missing = [
        node.name
        for node in (state.topology.nodes if state else ())
        if not log_files_of(log_folder(), node.name)
    ]
    if not missing or state is None or not state.alive:
        return lambda: ()
    ray_driver.connect()
    from serving.deploy.fleet import Fleet

    fleet = Fleet.attach(state.topology)
    if fleet is None:
        return lambda: ()
    silent: set[str] = set()
    read: dict[str, Read] = {name: {} for name in missing}

    def ask() -> list[LogLine]:
        told = fleet.log_lines(read)
        read.update({name: page.read for name, page in told.items()})
        for name in sorted(set(missing) - told.keys() - silent):
            out.say(f"note: node {name} gave no answer")
        silent.update(set(missing) - told.keys())
        return [line for page in told.values() for line in page.lines]

    return ask


VERBS = (logs,)
