"""Budgets in words, with their label behind them: `uplink client-0 → edge-0 ... (F7)`."""

from __future__ import annotations

import numpy as np

from planner.evaluate import Evaluation
from planner.problem import Problem

__all__ = ["amount_words", "budget_place", "fullest_budgets"]

KINDS = {
    "F4": "memory",
    "F5": "compute of clients",
    "F6": "compute of edges",
    "F7": "uplinks",
    "F8": "compute of the cloud",
    "F9": "windows of edges, on average",
    "F11": "windows of edges, with what arrivals scatter",
    "F18": "power",
}
"""label -> what has that budget; the labels left out are no budgets"""


def fullest_budgets(found: Evaluation) -> str:
    """The largest use of each kind of budget that counts: `memory 89 % (F4), uplinks 100 % (F7)`.

    Where a kind is over its budget, it says so.
    """
    told = []
    for label, kind in KINDS.items():
        usage = found.usages.get(label)
        if usage is None or label == found.uncounted or not len(usage.use_n):
            continue
        most = float(usage.tightness_n.max(initial=0.0))
        words = f"{kind} {min(most, 99.99):.0%}" if most <= 1 + 1e-6 else f"{kind} OVER"
        told.append(f"{words} ({label})")
    return ", ".join(told)


def budget_place(problem: Problem, label: str, node: str) -> str:
    """Whose budget it is: `compute of client-0`, `uplink client-0 → edge-0`."""
    if label != "F7":
        return f"{'window' if label in ('F9', 'F11') else 'compute'} of {node}"
    if node in problem.clients:
        own = np.flatnonzero(problem.client_of_a == problem.clients.index(node))
        above = [problem.edges[e] for e in problem.edge_of_a[own]]
        return f"uplink {node} → {above[0]}" if len(above) == 1 else f"uplinks of {node}"
    if node in problem.edges:
        return f"uplink {node} → {problem.cloud}"
    return f"uplink {node.replace(' to ', ' → ')}"


def amount_words(amount: float, unit: str) -> str:
    """A budget as people say it: `245 KB/s`, `8 % of its time`, `240 ms of work a window`."""
    if unit == "bytes/s":
        for name, size in (("GB/s", 1e9), ("MB/s", 1e6), ("KB/s", 1e3)):
            if amount >= size:
                return f"{amount / size:.3g} {name}"
        return f"{amount:.3g} bytes/s"
    if unit == "s/s":
        return f"{amount:.3g} s of work a second"
    if unit == "s/window":
        return f"{amount * 1e3:.3g} ms of work a window"
    return f"{amount:.4g} {unit}"
