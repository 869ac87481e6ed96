"""`testbed plan --busy-watts ... --max-watts ...`: joules of devices and what may be drawn (F18).

Both options name a tier or a node: `--busy-watts client=10 --busy-watts edge=70` says what a busy
device draws more than an idle one, `--max-watts all=200 --max-watts client-3=5` what nodes may
draw. A node's own number goes before that of its tier.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import typer

from cluster.errors import InputError, UnknownNameError
from planner.energy import EnergyGoal, PowerBudget, energy_of_devices
from planner.evaluate import Evaluation
from planner.problem import FloatArray, Problem
from serving.cli.options import JOULE_PRICE, WATTS, number

__all__ = ["BusyWatts", "JoulePrice", "MaxWatts", "energy_goal", "watts_told"]

ALL = "all"
BusyWatts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<tier or node=watts>",
        help="what a busy device draws more than an idle one, to plan by watts (F18; --policy "
        "exact); repeatable, those left out draw nothing",
    ),
]
MaxWatts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<tier, node or all=watts>",
        help="the most that each node of the tier, that node, or all together may draw beyond "
        "idling; repeatable",
    ),
]
JoulePrice = Annotated[
    float | None,
    number(JOULE_PRICE, help="right answers that a joule must earn, instead of --max-watts"),
]


def energy_goal(
    problem: Problem,
    busy_watts: Sequence[str] | None,
    max_watts: Sequence[str] | None,
    joule_price: float | None,
) -> EnergyGoal | None:
    """What the three options ask for; None where none is given. Raises `InputError` for one that
    lacks another, and `UnknownNameError` for a node that `problem` does not have."""
    if not busy_watts:
        if max_watts or joule_price is not None:
            given = "--max-watts" if max_watts else "--joule-price"
            raise InputError(f"{given}: say what devices draw, as --busy-watts client=10")
        return None
    if max_watts and joule_price is not None:
        raise InputError("--joule-price: watts have a price or a budget; leave out --max-watts")
    client_w, edge_w, cloud_w, _ = _by_node(problem, "--busy-watts", busy_watts, 0.0)
    energy = energy_of_devices(problem, client_w=client_w, edge_w=edge_w, cloud_w=cloud_w)
    if not max_watts:
        return EnergyGoal(energy, price=joule_price or 0.0)
    client_w, edge_w, cloud_w, total_w = _by_node(problem, "--max-watts", max_watts, math.inf)
    return EnergyGoal(energy, budget=PowerBudget(client_w, edge_w, cloud_w, total_w))


def watts_told(found: Evaluation) -> str:
    """A line that says what the plan draws."""
    problem, by_node = found.problem, found.watts_by_node
    parts = {
        "clients": sum(by_node[client] for client in problem.clients),
        "edges": sum(by_node[edge] for edge in problem.edges),
        "cloud": by_node[problem.cloud],
    }
    told = ", ".join(f"{name} {watts:.4g} W" for name, watts in parts.items())
    cost = f"; its joules cost {found.energy_cost:.4f}" if found.energy_cost else ""
    return f"draws {sum(parts.values()):.4g} W beyond idling: {told}{cost}"


def _by_node(
    problem: Problem, option: str, given: Sequence[str], otherwise: float
) -> tuple[FloatArray, FloatArray, float, float]:
    """Watts of clients, edges, the cloud and all together, from `name=watts` texts."""
    watts: dict[str, float] = {}
    tiers = ("client", "edge", "cloud", *((ALL,) if option == "--max-watts" else ()))
    nodes = (*problem.clients, *problem.edges, problem.cloud)
    for text in given:
        name, equals, number_text = text.rpartition("=")
        if not equals:
            raise InputError(f"{option}: expected NAME=WATTS, as client=10, got {text!r}")
        if name not in tiers and name not in nodes:
            near = difflib.get_close_matches(name, (*tiers, *nodes), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UnknownNameError(
                f"{option}: no tier or node {name!r}{hint} (tiers: {', '.join(tiers)})"
            )
        try:
            watts[name] = WATTS.parse(number_text)
        except typer.BadParameter as refused:
            raise InputError(f"{option}: {name}: {refused.message}") from None

    def of(tier: str, node: str) -> float:
        return watts.get(node, watts.get(tier, otherwise))

    return (
        np.array([of("client", client) for client in problem.clients]),
        np.array([of("edge", edge) for edge in problem.edges]),
        of("cloud", problem.cloud),
        watts.get(ALL, otherwise),
    )
