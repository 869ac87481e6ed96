"""Compile every kernel of decomposition, once a process, by a plan for one small edge."""

from __future__ import annotations

from functools import cache

import numpy as np

from planner.decomposition.component_data import ComponentData
from planner.decomposition.component_search import SearchOptions, search_component
from planner.decomposition.searched_clients import SearchedClients
from planner.edge_cost import edge_cost
from planner.instances import sample_problem

__all__ = ["compile_kernels"]


@cache
def compile_kernels() -> None:
    """Returns once every kernel is compiled: about half a minute where numba keeps nothing on disk
    yet, .3 s where it does."""
    problem = sample_problem("random", edges=1, clients_per_edge=2)
    options = SearchOptions(0.6, 1e-3, 60.0)
    for form in ("batched", "unbatched"):
        search_component(problem, edge_cost(problem, form), options)
    # Its clients have few model sets, so none of them was searched.
    data = ComponentData(problem, edge_cost(problem, "batched"), options)
    data.searched = SearchedClients(problem, data.clients, np.ones(len(problem.clients), bool))
    data.price(np.zeros(len(problem.tasks)), np.zeros(1))
