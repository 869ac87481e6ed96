"""How much of what a clairvoyant could have scored a run has reached (F21)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cluster.demand import Phase
from cluster.document import FrozenModel
from cluster.errors import InputError
from planner.fits import room
from planner.latency_bound import latency_bounds_s
from planner.problem import FloatArray, Problem
from planner.programs.clairvoyant import Health, LeastWork, clairvoyant_bound
from serving.setting.setting import Setting
from serving.traffic.measurement import Measurements

__all__ = ["Regret", "card_scores", "regret_of"]

PERIOD_S = 1.0


class Regret(FrozenModel):
    """A run against the bound on every sequence of plans for its arrivals."""

    accuracy: float = Field(
        description="accuracies of the cards, summed over the answers in time / queries"
    )
    clairvoyant_bound: float = Field(
        description="the same of any sequence of plans is at most this"
    )
    reached: float = Field(description="accuracy / clairvoyant_bound")
    period_s: float = Field(description="of the periods that the bound knows of")


def regret_of(
    measurements: Measurements,
    setting: Setting,
    *,
    period_s: float = PERIOD_S,
    health: Health | None = None,
) -> Regret | None:
    """The regret of a run; None for one without queries, or with requests for several tasks.

    Both sides count a_mt, the accuracy of the card, for an answer within its promised bound: the
    labels of a few hundred pictures scatter more than plans differ. A query is taken to be asked
    alone: for requests that share passes (F14) the bound would not hold.
    """
    if not len(measurements) or measurements.run.requests is not None:
        return None
    clients = [node.name for node in setting.topology.clients]
    problem = _all_there_is(setting)
    periods = max(1, int(np.ceil(measurements.run.duration_s / period_s - 1e-9)))
    arrivals_kct = np.zeros((periods, len(problem.clients), len(problem.tasks)), dtype=np.int64)
    k_q = np.minimum((measurements.scheduled_s / period_s).astype(int), periods - 1)
    c_q = _index(measurements.client, problem.clients)
    t_q = _index(measurements.task, problem.tasks)
    np.add.at(arrivals_kct, (k_q, c_q, t_q), 1)
    waits_s = [
        bound_s
        for client in clients
        for bound_s in latency_bounds_s(
            setting.topology, client, setting.largest_query_bytes
        ).values()
    ]
    bound = clairvoyant_bound(
        problem, arrivals_kct, period_s, max(waits_s), work=least_work_of(setting, problem),
        health=health,
    )  # fmt: skip
    score = float(card_scores(measurements, setting).sum())
    return Regret(
        accuracy=score / len(measurements),
        clairvoyant_bound=bound.accuracy,
        reached=score / bound.score if bound.score else 1.0,
        period_s=period_s,
    )


def card_scores(measurements: Measurements, setting: Setting) -> FloatArray:
    """By query, the accuracy a_mt of the card of the model that answered it; 0 for one that was not
    answered in time."""
    pairs = zip(measurements.model, measurements.task, strict=True)
    found_q = np.array([setting.accuracy.get(str(m), {}).get(str(t), 0.0) for m, t in pairs])
    return np.where(measurements.in_time, found_q, 0.0)


def _all_there_is(setting: Setting) -> Problem:
    """The problem with everything that a run can use: the whole bandwidth of every link, of which
    plans leave a part free, and for every task the best model that the cloud could hold."""
    clients = [node.name for node in setting.topology.clients]
    rates = {client: dict.fromkeys(setting.tasks, 1.0) for client in clients}
    problem = setting.with_whole_links.problem(Phase(duration_s=1.0, rates_qps=rates))
    cloud = setting.topology.cloud
    fits_m = np.array(
        [
            setting.model_bytes.get((cloud.name, model), np.inf) <= room(float(cloud.memory))
            for model in problem.models
        ]
    )
    accuracy_mt = np.where(fits_m[:, None], problem.accuracy_mt, 0.0)
    best_t = accuracy_mt.max(axis=0, initial=0.0)
    return problem.changed(
        cloud_accuracy_t=best_t,
        cloud_model_t=np.where(best_t > 0, accuracy_mt.argmax(axis=0), -1),
    )


def least_work_of(setting: Setting, problem: Problem) -> LeastWork:
    """The least device seconds an answer takes, over the batch sizes that were measured."""

    def least(node: str) -> FloatArray:
        found = np.full(len(problem.models), np.inf)
        for m, model in enumerate(problem.models):
            profile = setting.profiles.find(node, model)
            if profile is not None:
                each_s = [
                    min(entry.p50_s, entry.straight_s) / entry.batch for entry in profile.latency
                ]
                found[m] = min([*each_s, profile.marginal_s])
        return found

    above = least(problem.cloud)
    quickest = float(above.min(initial=np.inf))
    return LeastWork(
        client_cm=np.array([least(name) for name in problem.clients]),
        edge_em=np.array([least(name) for name in problem.edges]),
        cloud_t=np.full(len(problem.tasks), quickest if np.isfinite(quickest) else 0.0),
    )


def _index(names_q: np.ndarray, known: tuple[str, ...]) -> np.ndarray:
    place = {name: index for index, name in enumerate(known)}
    strange = sorted({str(name) for name in names_q} - place.keys())
    if strange:
        raise InputError(
            f"the measurements name {strange[0]!r}, which the topology lacks; give the profiles "
            "and the topology that they were made with"
        )
    return np.array([place[str(name)] for name in names_q])
