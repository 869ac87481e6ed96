"""A program of a problem whose images are asked several tasks (F14), and what its columns mean.

Keys of columns: ("client", c, m) and ("edge", e, m) are x and y, ("batches", e, m) further batches,
("whole", k) the images answered of load k, ("answered", k, t, site), ("passes", k, site) and
("images", k, hop) shares of its images, ("share", c, t, site) the routes of a client, ("least", k,
t) says that of the tasks of k none is shed more than t.
Axis letters: c client, e edge, a attachment, t task, m model, k load, v variable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.topology import Tier
from planner.allocation import Allocation
from planner.batches import batches_em
from planner.passes import ImageLoad, Site, hops_of, ways_of, work_of
from planner.problem import FloatArray, Problem
from planner.solvers import LinearProgram

__all__ = ["BundledProgram", "Key"]

Key = tuple[Hashable, ...]


@dataclass(frozen=True, eq=False)
class BundledProgram:
    """A program with the meaning of its columns (see the module)."""

    program: LinearProgram
    columns: Mapping[Key, int]
    loads: Sequence[ImageLoad]

    def allocation(self, problem: Problem, x_v: FloatArray) -> Allocation:
        """The plan of a solution: the least shares that leave every load what it is answered."""
        found = Allocation.empty(problem)
        for key, v in self.columns.items():
            match key:
                case ("client", int(c), int(m)):
                    found.onloaded_cm[c, m] = x_v[v] > 0.5
                case ("edge", int(e), int(m)):
                    found.onloaded_em[e, m] = x_v[v] > 0.5
                case ("answered", int(k), int(t), Site() as site):
                    share, c = x_v[v], self.loads[k].client
                    if site.tier == Tier.CLIENT:
                        array, place = found.local_ctm, (c, t, site.model)
                    elif site.tier == Tier.EDGE:
                        array, place = found.edge_atm, (site.attachment, t, site.model)
                    else:
                        array, place = found.cloud_at[..., None], (site.attachment, t, 0)
                    array[place] = max(array[place], share)
        found.local_ctm[:] *= found.onloaded_cm[:, None, :]
        found.edge_atm[:] *= found.onloaded_em[problem.edge_of_a][:, None, :]
        return found

    def point(self, problem: Problem, plan: Allocation) -> FloatArray | None:
        """The columns' values for a plan, to start a search from; None if it answers at a site that
        the program leaves out."""
        value: defaultdict[Key, float] = defaultdict(float)
        for k, (_, ways) in enumerate(ways_of(problem, plan)):
            for sites, share in ways:
                met = set(sites.values())
                for key in (
                    *((("whole", k),) if sites else ()),
                    *(("answered", k, t, site) for t, site in sites.items()),
                    *(("passes", k, site) for site in met),
                    *(("images", k, hop) for hop in {hop for site in met for hop in hops_of(site)}),
                ):
                    value[key] += share
        for key, share in list(value.items()):
            match key:
                case ("answered", int(k), t, site):
                    if key not in self.columns:
                        return None
                    route = ("share", self.loads[k].client, t, site)
                    value[route] = max(value[route], share)
        served: defaultdict[Key, float] = defaultdict(float)
        for key, share in value.items():
            if key[0] == "share":
                served[key[1:3]] += share
        for k, load in enumerate(self.loads):
            _, least = min((served[load.client, t], t) for t in load.tasks)
            value["least", k, least] = 1.0
        window_em = problem.window_e[:, None] * work_of(problem, plan).passes_em
        for name, array in (
            ("client", plan.onloaded_cm),
            ("edge", plan.onloaded_em),
            ("batches", np.maximum(batches_em(problem, window_em) - 1, 0.0)),
        ):
            for n, m in np.argwhere(array).tolist():
                value[name, n, m] = float(array[n, m])
        return np.array([value[key] for key in self.columns])
