"""The queries of a run that was measured, to be sent once more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.errors import InputError
from serving.traffic.measurement import Measurements
from serving.traffic.schedule import Schedule

__all__ = ["schedule_of"]


def schedule_of(measurements: Measurements) -> Schedule:
    """What `measurements` were asked, when each query was due; who waited for an answer before he
    asked on asks now when he did then. Raises `InputError` where there is no query."""
    if not len(measurements):
        raise InputError("the run that is to be replayed has no query")
    clients, client_q = _indexed(measurements.client)
    tasks, task_q = _indexed(measurements.task)
    order = np.argsort(measurements.scheduled_s, kind="stable")
    request_q = None
    if measurements.run.requests is not None:
        # Queries that left a client at the same moment about one image were one request.
        of_request = (measurements.scheduled_s, client_q, measurements.image)
        keys = np.stack([column[order] for column in of_request])
        request_q = np.unique(keys, axis=1, return_inverse=True)[1].ravel().astype(np.int64)
    return Schedule(
        clients=clients,
        tasks=tasks,
        duration_s=measurements.run.duration_s,
        phase_starts_s=measurements.run.phase_starts_s,
        scheduled_s_q=measurements.scheduled_s[order],
        client_q=client_q[order],
        task_q=task_q[order],
        image_q=measurements.image[order],
        phase_q=measurements.phase[order],
        request_q=request_q,
    )


def _indexed(names_q: NDArray[np.str_]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    names, index_q = np.unique(names_q, return_inverse=True)
    return tuple(map(str, names)), index_q.astype(np.int32)
