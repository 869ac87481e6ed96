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

from cluster.errors import UnknownNameError
from cluster.providers import local
from cluster.providers.state import ClusterState, find_cluster, log_folder
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json
from serving.cli.options import LINES, number
from serving.logs.line import Level, LogLine
from serving.logs.read import LogFollower, log_files_of, read_lines

__all__ = ["DRIVER", "VERBS", "format_line", "make_source"]

DRIVER = "driver"
"""the name under which this machine's commands write to the log"""
PERIOD_S = 0.5
STYLES = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}

Ask = Callable[[float], Iterable[LogLine]]
"""asks nodes that write their files on other hosts for what they have logged since a time"""


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
    as_json: Json = False,
) -> None:
    """Show what the nodes logged, in the order of time; of a cluster that is down, too.

    With --json one object with all lines is printed, or, with --follow, one object a line.
    """
    out = VerbOutput(as_json)
    state = find_cluster()
    follower = LogFollower(make_source(log_folder(), _ask_elsewhere(out, state)))
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


def make_source(folder: Path, ask: Ask) -> Callable[[float], list[LogLine]]:
    """Reads the files in `folder` and what `ask` brings, from a time on (seconds since 1970).

    Files are read wherever there are any: that works whatever became of the nodes, and of Ray.
    """

    def read(after_s: float) -> list[LogLine]:
        files = sorted({*folder.glob("*.log"), *folder.glob("*.log.1")})
        found = read_lines(files, after_s) + list(ask(after_s))
        return sorted(found, key=lambda line: line.at_s)

    return read


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


def _harmless(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _print(out: VerbOutput, shown: Iterable[LogLine], each_as_json: bool = False) -> None:
    for line in shown:
        if each_as_json:
            print(orjson.dumps(asdict(line)).decode(), flush=True)
        else:
            out.write(format_line(line))


def _matching(lines: Iterable[LogLine], node: str | None, level: Level) -> list[LogLine]:
    levels = {"CRITICAL", *(known.name for known in Level if known.number >= level.number)}
    return [line for line in lines if node in (None, line.node) and line.level in levels]


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
        return lambda after_s: ()
    local.connect()
    from serving.deploy.fleet import Fleet

    fleet = Fleet.attach(state.topology)
    if fleet is None:
        return lambda after_s: ()
    silent: set[str] = set()

    def ask(after_s: float) -> list[LogLine]:
        told = fleet.log_lines(missing, after_s)
        for name in sorted(set(missing) - told.keys() - silent):
            out.say(f"note: node {name} gave no answer")
        silent.update(set(missing) - told.keys())
        return [line for lines in told.values() for line in lines]

    return ask


VERBS = (logs,)
