"""The verb that shows what nodes can compute on: devices."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cluster.boards import Board, Boards, read_boards
from cluster.machine import check_capacity, read_machine
from cluster.topology import Topology
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json

__all__ = ["VERBS"]

LEAST_FREE_BYTES = 2**30
"""a context of CUDA and the smallest models of the zoo"""


def devices(
    topology: Annotated[
        Path | None, typer.Option(help="topology YAML: say whether its nodes fit, too")
    ] = None,
    as_json: Json = False,
) -> None:
    """What nodes can compute on here: cores, and every GPU as its driver (NVML) tells it.

    Exit code 2 where the nodes of --topology do not fit. Changes nothing.
    """
    import pynvml

    from serving.doctor.torch_build import cuda_of_torch

    out = VerbOutput(as_json)
    wanted = Topology.load(topology) if topology is not None else None
    machine = read_machine()
    boards = read_boards(pynvml, os.environ)
    torch_version, torch_cuda, torch_sees = cuda_of_torch()
    out.say(f"[bold]cpu[/]: {machine.cores:g} cores, {machine.memory_bytes / 2**30:.1f} GiB free")
    if boards.driver is not None:
        out.say(f"driver {boards.driver}, CUDA up to {boards.cuda_driver or 'unknown'}")
    words = f"CUDA {torch_cuda}" if torch_cuda else "the CPU alone"
    out.say(f"torch {torch_version}, built for {words}; it sees {torch_sees} CUDA devices")
    if boards.boards:
        out.table(_table(boards.boards))
        for line in _name_lines(boards.boards):
            out.say(line)
    notes = [*boards.notes(LEAST_FREE_BYTES), *_torch_notes(boards, torch_cuda, torch_sees)]
    for note in notes:
        out.say(f"· {note}")
    out.result(
        {
            "cpu": {"cores": machine.cores, "memory_bytes": machine.memory_bytes},
            "driver": boards.driver, "cuda_driver": boards.cuda_driver,
            "torch": {"version": torch_version, "cuda": torch_cuda, "devices": torch_sees},
            "boards": [asdict(board) for board in boards.boards],
            "notes": notes,
        }
    )  # fmt: skip
    if wanted is not None:
        check_capacity(wanted.nodes, machine)
        out.say(f"the nodes of {topology} fit{_shares(wanted)}")


def _torch_notes(boards: Boards, cuda: str | None, sees: int) -> list[str]:
    """Why torch does not see what the driver has."""
    usable = sum(len(board.cuda) for board in boards.boards)
    if not usable or sees:
        return []
    if cuda is None:
        return ["torch is built for the CPU alone; install a build for CUDA to use the boards"]
    return [
        f"torch is built for CUDA {cuda} and sees no device; the driver knows CUDA up to "
        f"{boards.cuda_driver or 'unknown'}"
    ]


def _shares(topology: Topology) -> str:
    """How much of each device its nodes take."""
    words = []
    for device in sorted({node.host_device for node in topology.nodes if node.on_gpu}):
        nodes = [node for node in topology.nodes if node.host_device == device]
        taken = sum(int(node.memory) for node in nodes) / 2**20
        words.append(f"{device}: {len(nodes)} nodes, {taken:.0f} MiB")
    return f" ({'; '.join(words)})" if words else ""


def _table(boards: tuple[Board, ...]) -> Table:
    table = Table("board", "nodes say", "memory free", "clock", "power", "processes")
    for board in boards:
        uses = ", ".join(f"cuda:{number}" for number in board.cuda) or "hidden"
        table.add_row(
            f"{board.index} {board.name or '?'}",
            uses,
            f"{_gib(board.free_bytes)} of {_gib(board.total_bytes)}",
            f"{_known(board.sm_mhz)} of {_known(board.most_sm_mhz)} MHz",
            f"{_known(board.power_w)} of {_known(board.power_limit_w)} W",
            ", ".join(str(each.pid) for each in board.processes) or "none",
        )
    return table


def _name_lines(boards: tuple[Board, ...]) -> list[str]:
    """The names by which a topology can tell boards and their parts apart, too long for a table."""
    lines = []
    for board in boards:
        lines.append(f"board {board.index} is {board.uuid or 'without a UUID'}")
        for part in board.instances:
            memory = f"{_gib(part.free_bytes)} of {_gib(part.total_bytes)} free"
            lines.append(f"  MIG {part.uuid}: {memory}")
    return lines


def _gib(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{size_bytes / 2**30:.1f} GiB"


def _known(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"


VERBS = (devices,)
