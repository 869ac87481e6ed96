"""A policy of change that knows which queries are going to come: what forecasts can gain at most.

It knows no more than that: plans, moving costs and the time that planning takes are as for others.
"""

from __future__ import annotations

import numpy as np

from serving.replan.change_policy import ChangePolicy, Seen
from serving.replan.estimate.load_estimate import LoadEstimate
from serving.traffic.schedule import Schedule

__all__ = ["load_between", "oracle_policy"]

LOOK_S = 1.0
"""over which the dispersion is counted, as the loop counts it"""


def oracle_policy(schedule: Schedule, period_s: float) -> ChangePolicy:
    """Decides when a period of `period_s` seconds begins, on the queries that `schedule` has in it,
    and when nodes come or go.

    Raises `ValueError` for a schedule with callers who wait: what they ask depends on the answers.
    """
    if schedule.callers:
        raise ValueError("what callers who wait for their answers are going to ask is not known")

    def foresee(seen: Seen) -> LoadEstimate | None:
        return load_between(schedule, seen.at_s // period_s * period_s, period_s)

    return ChangePolicy("oracle", foresee=foresee, every_s=period_s)


def load_between(schedule: Schedule, at_s: float, period_s: float) -> LoadEstimate | None:
    """The load from `at_s` on for `period_s` seconds, without any error; None after the schedule's
    end."""
    until_s = min(at_s + period_s, schedule.duration_s)
    span_s = until_s - at_s
    if span_s <= 0:
        return None
    first, last = np.searchsorted(schedule.scheduled_s_q, [at_s, until_s])
    client_q, task_q = schedule.client_q[first:last], schedule.task_q[first:last]
    count_ct = np.zeros((len(schedule.clients), len(schedule.tasks)))
    np.add.at(count_ct, (client_q, task_q), 1)
    looks = max(1, int(span_s / LOOK_S))
    look_q = ((schedule.scheduled_s_q[first:last] - at_s) / LOOK_S).astype(int)
    dispersion = {}
    for c, client in enumerate(schedule.clients):
        count_k = np.bincount(look_q[client_q == c], minlength=looks)[:looks]
        dispersion[client] = max(1.0, float(count_k.var() / max(count_k.mean(), 1e-9)))
    rates = {
        client: {
            task: float(count_ct[c, t]) / span_s for t, task in enumerate(schedule.tasks)
        }
        for c, client in enumerate(schedule.clients)
    }  # fmt: skip
    nothing = {client: dict.fromkeys(schedule.tasks, 0.0) for client in schedule.clients}
    return LoadEstimate(
        rates_qps=rates,
        mix_errors_qps=nothing,
        volume_errors_qps=dict.fromkeys(schedule.clients, 0.0),
        dispersion=dispersion,
        short_qps={client: sum(tasks.values()) for client, tasks in rates.items()},
        former_qps={},
        look_s=LOOK_S,
        seen_s=span_s,
        changes=0,
        stay_s=period_s,
    )
