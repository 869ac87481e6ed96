"""Problems whose images are asked several tasks (F14)."""

from __future__ import annotations

from typing import Any

import numpy as np

from planner.problem import Problem
from support.planner_cases import one_client, random_problem


def pair(**changes: Any) -> Problem:
    """Ten images/s of which `a` and `b` are asked. At the edge `both` answers them at 0.8 and 0.6
    in 0.1 s a pass, which with whole windows is ten passes a second; an image has 100 bytes, and
    the uplink carries ten a second. Nothing else serves anything."""
    fields: dict[str, Any] = {
        "models": ("both",), "load_ct": [[10.0, 10.0]], "accuracy_mt": [[0.8, 0.6]],
        "client_model_bytes_cm": [[np.inf]], "edge_model_bytes_em": [[10.0]],
        "client_setup_cm": [[0.0]], "client_marginal_cm": [[0.1]], "window_e": [1.0],
        "edge_setup_em": [[0.0]], "edge_marginal_em": [[0.1]],
        "cloud_accuracy_t": [0.0, 0.0], "cloud_model_t": [-1, -1], "cloud_cost_t": [0.0, 0.0],
        "client_uplink_c": [1000.0], "bundle_bt": [[1.0, 1.0]], "bundle_load_cb": [[10.0]],
    }  # fmt: skip
    return one_client(**{**fields, **changes})


def random_bundles(
    seed: int, *, sets: tuple[tuple[int, ...], ...] = ((0, 1),), alone: bool = True, **sizes: int
) -> Problem:
    """`random_problem` in which clients ask the tasks of `sets` of one image, most of them; with
    `alone` they ask some of an image of its own as well. A task costs the cloud what its model
    does."""
    problem = random_problem(seed, **sizes)
    rng = np.random.default_rng([seed, 14])
    bundle_bt = np.zeros((len(sets), len(problem.tasks)))
    for b, tasks in enumerate(sets):
        bundle_bt[b, list(tasks)] = 1.0
    bundle_load_cb = rng.uniform(0.5, 6, (len(problem.clients), len(sets)))
    bundle_load_cb *= rng.random(bundle_load_cb.shape) < 0.9
    bundle_load_cb[0, 0] = 3.0
    rest_ct = np.where(rng.random(problem.load_ct.shape) < 0.5, problem.load_ct, 0.0) * alone
    served_t = problem.cloud_model_t >= 0
    return problem.changed(
        load_ct=rest_ct + bundle_load_cb @ bundle_bt,
        bundle_bt=bundle_bt,
        bundle_load_cb=bundle_load_cb,
        cloud_cost_t=np.where(served_t, 0.01, 0.0),
    )
