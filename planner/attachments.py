"""F12: clients that reach several edges. An attachment is a client and one edge it reaches.

Everything about a link is stored by attachment, so that nothing has a client and an edge axis at
once; a client with one edge is a client with one attachment. Edges that share clients, directly
or through other edges, form a component: apart from F8 nothing couples one component to another.

Axis letters: c client, e edge, a attachment, t task.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from planner.problem import FloatArray, Problem

__all__ = [
    "Component",
    "best_by_client",
    "best_of_others",
    "by_client",
    "by_edge",
    "components",
    "group_of_edges",
    "several_edges_c",
]

IntArray = NDArray[np.int64]


def by_client(problem: Problem, value_a: FloatArray) -> FloatArray:
    """Sum over the attachments of each client; further axes are kept."""
    total_c = np.zeros((len(problem.clients), *value_a.shape[1:]))
    np.add.at(total_c, problem.client_of_a, value_a)
    return total_c


def by_edge(problem: Problem, value_a: FloatArray) -> FloatArray:
    """Sum over the attachments of each edge; further axes are kept."""
    total_e = np.zeros((len(problem.edges), *value_a.shape[1:]))
    np.add.at(total_e, problem.edge_of_a, value_a)
    return total_e


def best_by_client(problem: Problem, value_a: FloatArray) -> FloatArray:
    """Largest over the attachments of each client; further axes are kept."""
    best_c = np.full((len(problem.clients), *value_a.shape[1:]), -np.inf)
    np.maximum.at(best_c, problem.client_of_a, value_a)
    return best_c


def best_of_others(problem: Problem, value_at: FloatArray) -> FloatArray:
    """For each attachment the largest value of its client's other ones; -inf where it is alone."""
    c = problem.client_of_a
    best_ct = best_by_client(problem, value_at)
    is_best_at = value_at == best_ct[c]
    second_ct = best_by_client(problem, np.where(is_best_at, -np.inf, value_at))
    alone_at = is_best_at & (by_client(problem, is_best_at.astype(float)) == 1)[c]
    return np.where(alone_at, second_ct[c], best_ct[c])


def several_edges_c(problem: Problem) -> NDArray[np.bool_]:
    """Clients that reach more than one edge."""
    count_c = np.bincount(problem.client_of_a, minlength=len(problem.clients))
    return np.asarray(count_c > 1)


@dataclass(frozen=True, eq=False)
class Component:
    """Edges, clients with load and attachments (indices) that must be planned together."""

    edges: IntArray
    clients: IntArray
    attachments: IntArray

    def piece(self, problem: Problem) -> Problem:
        """The component alone, with F8 left out; names and order are kept."""
        return problem.part(self.clients, self.edges, self.attachments)


def group_of_edges(problem: Problem) -> IntArray:
    """For each edge the number of its component; clients without load join nothing."""
    C, E = len(problem.clients), len(problem.edges)
    asks_a = _asks_a(problem)
    ends = (problem.client_of_a[asks_a], C + problem.edge_of_a[asks_a])
    graph = sp.coo_matrix((np.ones(int(asks_a.sum())), ends), shape=(C + E, C + E))
    _, group_n = connected_components(graph, directed=False)
    return np.unique(group_n[C:], return_inverse=True)[1].astype(np.int64)


def components(problem: Problem) -> tuple[Component, ...]:
    """Every component that has a client with load, in the order of its first edge."""
    group_e = group_of_edges(problem)
    asks_a = _asks_a(problem)
    a = np.flatnonzero(asks_a)
    group_a = group_e[problem.edge_of_a[a]]
    order = np.argsort(group_a, kind="stable")
    cuts = np.flatnonzero(np.diff(group_a[order])) + 1
    found = []
    for own in np.split(a[order], cuts) if len(a) else []:
        edges, clients = np.unique(problem.edge_of_a[own]), np.unique(problem.client_of_a[own])
        found.append(
            Component(edges, clients, own[np.argsort(problem.client_of_a[own], kind="stable")])
        )
    return tuple(sorted(found, key=lambda component: int(component.edges[0])))


def _asks_a(problem: Problem) -> NDArray[np.bool_]:
    """Attachments whose client has load."""
    load_c = problem.load_ct.sum(axis=1)
    return np.asarray(load_c[problem.client_of_a] > 0)
