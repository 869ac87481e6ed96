"""What is likely to blame for a prediction that failed, found in the run's own data.

Each cause has a test of the data, and each quantity a list of the causes that can move it, the one
that would explain most first. The first of these that the data show is named. A cause that acts on
one node or link is named only for predictions about it, or about the whole run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from cluster.demand import Phase
from planner.plan import Plan
from serving.errors import RefusalReason
from serving.setting.setting import Setting
from serving.traffic.measurement import Measurements
from serving.traffic.run_use import HostUse
from serving.verdicts.observed import ServedBy
from serving.verdicts.verdict import Quantity, Source

__all__ = [
    "NOTHING_KNOWN", "Cause", "Evidence", "find_evidence", "load_drift", "machine_evidence",
    "slow_links", "slowness_of", "waited_of",
]  # fmt: skip

NOTHING_KNOWN = "nothing in the run's data explains it"
BUSY_HOST = 0.9
"""of its cores' time, from which on nodes wait for one another"""
WAITED = 1.1
"""a node's batches by the clock on the wall ÷ what its thread computed"""
STOLEN = 0.02
LATE_GENERATOR_S = 0.02
EXPLAINS = 0.5
"""share of an error from which on a cause of known size is named for it"""
SLOW = 1.15
"""a batch ÷ its profile"""
FEWEST_BATCHES = 5.0
SLOW_LINK = 0.9
"""bytes a second ÷ the link's bandwidth"""
DRIFT = 0.1
"""relative, of a load: what plans leave room for anyway"""
SURE = 3.0
"""standard deviations from which on a count is no chance"""
BURSTY = 1.5
"""dispersion ÷ that which was planned for"""
LEAST_SHARE = 0.001
"""of the queries that must have met a fault for it to count"""
LATE_BATCHES = 0.01
SPILLED = 0.01
"""of the queries that met a full way"""


class Cause(StrEnum):
    """What can be to blame."""

    NODE_LOST = "a node or device was lost"
    HOST_STOLEN = "the machine's own host took its cores"
    INTERFERENCE = "interference: nodes wait for the machine's cores"
    LATE_BATCHES = "the machine was slower than the device that it emulates"
    STALE_PROFILE = "the profile does not fit the device"
    SLOW_LINK = "a link carried less than its bandwidth"
    LATE_GENERATOR = "the generator sent late"
    LOAD_DRIFT = "another load came than was planned for"
    BURST = "arrivals were burstier than was planned for"
    SPILLED = "ways were full, and their queries took others"
    OTHER_PICTURES = "the models' cards do not fit these pictures"


SPEED = (Cause.LATE_BATCHES, Cause.HOST_STOLEN, Cause.INTERFERENCE, Cause.STALE_PROFILE)
ACCURACIES = (Quantity.ACCURACY, Quantity.TASK_ACCURACY)
LOAD = (Cause.LOAD_DRIFT, Cause.BURST, Cause.SPILLED)
SUSPECTS: Mapping[Quantity, tuple[Cause, ...]] = {
    Quantity.BATCH_LATENCY: SPEED,
    Quantity.BATCH_SIZE: (Cause.NODE_LOST, Cause.LATE_GENERATOR, *SPEED),
    Quantity.UTILIZATION: (Cause.NODE_LOST, Cause.LOAD_DRIFT, *SPEED, Cause.BURST),
    Quantity.ROUTE_SHARE: (Cause.NODE_LOST, Cause.SLOW_LINK, *LOAD, *SPEED),
    Quantity.SHED_SHARE: (Cause.NODE_LOST, Cause.SLOW_LINK, *LOAD, *SPEED, Cause.LATE_GENERATOR),
    **dict.fromkeys(
        ACCURACIES,
        (Cause.NODE_LOST, Cause.SLOW_LINK, *LOAD, Cause.OTHER_PICTURES, *SPEED),
    ),
    Quantity.LINK_BYTES: (Cause.NODE_LOST, Cause.SLOW_LINK, *LOAD, *SPEED),
    Quantity.LINK_TIME: (Cause.NODE_LOST, Cause.SLOW_LINK, Cause.LATE_GENERATOR, *SPEED[1:3]),
    **dict.fromkeys(
        (Quantity.LATENCY_P50, Quantity.LATENCY_P95, Quantity.LATENCY_P99, Quantity.IN_TIME),
        (Cause.NODE_LOST, Cause.SLOW_LINK, *SPEED, Cause.LATE_GENERATOR),
    ),
}
"""By quantity, the causes that can move it."""


@dataclass(frozen=True)
class Evidence:
    """Which causes the data show, and with what figure. A place is a node or a link; '' stands for
    the whole run."""

    found: Mapping[Cause, Mapping[str, str]] = field(default_factory=dict)
    """by cause and place, the figure in words"""
    by_lateness: Mapping[Quantity, float] = field(default_factory=dict)
    """how far what was measured may be off because queries were sent late, where that is known"""
    refused_share: float | None = None
    """of the queries that found queues or links full and had no answer; None where it is not known.
    A slow machine takes no more accuracy than that: an answer is as right late as in time."""

    def cause_of(
        self, quantity: Quantity, source: Source, off: float, places: tuple[str, ...] = ()
    ) -> str:
        """The first suspect that the data show at one of `places`, or for the whole run; for a
        prediction about the whole run (no places), anywhere. `off` is measured - predicted. A
        simulation was sent the same queries, so it cannot be off by the load."""
        for cause in SUSPECTS[quantity]:
            if source is Source.SIMULATION and cause in LOAD:
                continue
            if cause is Cause.LATE_GENERATOR and not self._lateness_explains(quantity, off):
                continue
            if cause in SPEED and quantity in ACCURACIES and not self._refusals_explain(off):
                continue
            shown = self.found.get(cause, {})
            for place, figure in shown.items():
                if not places or place in ("", *places):
                    return f"{cause}: {figure}"
        return NOTHING_KNOWN

    def _refusals_explain(self, off: float) -> bool:
        """Whether the better half of a lower accuracy can come of queries without an answer."""
        refused = self.refused_share
        return refused is None or (off < 0 and refused >= EXPLAINS * -off)

    def _lateness_explains(self, quantity: Quantity, off: float) -> bool:
        """Whether the better half of an error can come of queries that were sent late."""
        by = self.by_lateness.get(quantity)
        return by is None or (by * off > 0 and abs(by) >= EXPLAINS * abs(off))


def find_evidence(
    rows: Measurements,
    setting: Setting,
    plan: Plan,
    phase: Phase,
    slowness: Mapping[str, float],
) -> Evidence:
    """What the data of a run show. `phase` is what `plan` was made for; `slowness` is by node the
    time of its batches ÷ the profiles' (`slowness_of`)."""
    found = {
        Cause.NODE_LOST: _faults(rows, plan),
        **machine_evidence(rows.run.host, slowness, waited_of(rows.run.wall_s, rows.run.busy_s)),
        Cause.LATE_BATCHES: _late_batches(rows),
        Cause.SLOW_LINK: slow_links(rows.run.link_bytes, rows.run.link_busy_s, setting),
        Cause.LATE_GENERATOR: _late_generator(rows),
        Cause.LOAD_DRIFT: load_drift(_asked(rows), rows.run.duration_s, phase, _dispersion(rows)),
        Cause.BURST: _bursts(rows, phase),
        Cause.SPILLED: _spilled(rows),
        Cause.OTHER_PICTURES: _other_pictures(rows, setting),
    }
    full = [str(reason) for reason in RefusalReason if reason.is_full]
    refused = float((np.isin(rows.reason, full) & ~rows.answered).mean())
    return Evidence(found, _by_lateness(rows), refused)


def machine_evidence(
    host: HostUse | None, slowness: Mapping[str, float], waited: Mapping[str, float]
) -> dict[Cause, dict[str, str]]:
    """Why batches took another time than their profiles say: the machine, if it had no time to
    give, and only else the profiles. `waited` is by node the time of its batches ÷ what its thread
    computed of it, 1 where that is not known apart."""
    slow = {node: ratio for node, ratio in slowness.items() if not 1 / SLOW < ratio < SLOW}
    stolen, busy = _stolen(host), _busy_host(host, slow)
    waiting = {
        node: f"batches of {node} waited for a core for {1 - 1 / waited[node]:.0%} of their time"
        for node, ratio in slow.items() if ratio > 1 and waited.get(node, 1.0) > WAITED
    }  # fmt: skip
    return {
        Cause.HOST_STOLEN: stolen,
        Cause.INTERFERENCE: waiting | busy,
        Cause.STALE_PROFILE: {} if stolen or busy else {
            node: f"batches of {node} took {ratio:.2f} times what it says"
            for node, ratio in slow.items() if node not in waiting
        },
    }  # fmt: skip


def waited_of(wall_s: Mapping[str, float], busy_s: Mapping[str, float]) -> dict[str, float]:
    """By node, the time of its batches ÷ what its thread computed of it: more than 1 only for nodes
    whose threads count that, which are those on a core of the host."""
    return {node: wall_s.get(node, busy) / busy for node, busy in busy_s.items() if busy > 0}


def slowness_of(batches: list[ServedBy], setting: Setting) -> dict[str, float]:
    """By node, seconds that its batches took ÷ what its profiles say of them, each in the median;
    nodes with few batches are left out."""
    ratios: dict[str, list[tuple[float, float]]] = {}
    for served in batches:
        profile = setting.profiles.find(served.node, served.model)
        if profile is not None and served.batches >= FEWEST_BATCHES:
            ratio, _ = served.slowness(served.stated_s_q(profile))
            ratios.setdefault(served.node, []).append((ratio, served.batches))
    return {
        node: sum(ratio * count for ratio, count in pairs) / sum(count for _, count in pairs)
        for node, pairs in ratios.items()
    }


def _faults(rows: Measurements, plan: Plan) -> dict[str, str]:
    """Queries that a fault turned away, and answers from where the plan sends nobody although its
    ways were not full: detours."""
    faults = [str(reason) for reason in RefusalReason if reason.is_fault]
    planned = {(route.client, route.task, route.node) for route in plan.routes}
    ways = zip(rows.client, rows.task, rows.node, strict=True)
    known_q = np.array([(str(c), str(t), str(n)) in planned for c, t, n in ways])
    met_q = np.isin(rows.reason, faults) | (rows.answered & (rows.reason == "") & ~known_q)
    if met_q.mean() <= LEAST_SHARE:
        return {}
    return {"": f"{met_q.mean():.1%} of the queries met a fault or went round it"}


def _stolen(host: HostUse | None) -> dict[str, str]:
    if host is None or host.stolen_share <= STOLEN:
        return {}
    return {"": f"{host.stolen_share:.1%} of their time"}


def _busy_host(host: HostUse | None, slow: Mapping[str, float]) -> dict[str, str]:
    if host is None or host.busy_share < BUSY_HOST:
        return {}
    words = f"they were busy for {host.busy_share:.0%} of the time"
    found = {
        node: f"{words}, batches of {node} took {ratio:.2f} times their profile"
        for node, ratio in slow.items() if ratio > 1
    }  # fmt: skip
    return found or {"": words}


def _late_batches(rows: Measurements) -> dict[str, str]:
    late = {
        node: rows.run.late_batches.get(node, 0) / count
        for node, count in rows.run.batches.items() if count
    }  # fmt: skip
    return {
        node: f"{share:.1%} of the batches of {node} came late"
        for node, share in late.items() if share > LATE_BATCHES
    }  # fmt: skip


def slow_links(
    sent_bytes: Mapping[str, int], busy_s: Mapping[str, float], setting: Setting
) -> dict[str, str]:
    """Links that carried less than their bandwidth while they were busy."""
    found = {}
    for link in setting.topology.links:
        if busy_s.get(link.name, 0.0) > 0:
            rate = sent_bytes.get(link.name, 0) / busy_s[link.name]
            share = rate / link.bytes_per_s
            if share < SLOW_LINK:
                found[link.name] = f"{link.name}, {share:.0%} of it"
    return found


def _late_generator(rows: Measurements) -> dict[str, str]:
    late_s = float(np.quantile(rows.lateness_s, 0.99))
    if late_s < LATE_GENERATOR_S:
        return {}
    return {"": f"one query in a hundred by {late_s * 1e3:.0f} ms or more"}


def _by_lateness(rows: Measurements) -> dict[Quantity, float]:
    """What queries that were sent late add to latency, which counts from when they were due, and to
    the share that is refused; and take from the share in time."""
    late_s = rows.lateness_s[rows.answered]
    if not len(late_s):
        return {}
    in_time_if_sent_q = rows.answered & (rows.latency_s - rows.lateness_s <= rows.bound_s)
    lost = float((in_time_if_sent_q & ~rows.in_time).mean())
    p50_s, p95_s, p99_s = (float(np.quantile(late_s, level)) for level in (0.5, 0.95, 0.99))
    return {
        Quantity.LATENCY_P50: p50_s,
        Quantity.LATENCY_P95: p95_s,
        Quantity.LATENCY_P99: p99_s,
        Quantity.IN_TIME: -lost,
    }


def load_drift(
    asked: Mapping[tuple[str, str], int],
    duration_s: float,
    phase: Phase,
    dispersion: Mapping[str, float],
) -> dict[str, str]:
    """The client and task whose load was off most, beyond chance and beyond what hardly matters.
    `asked` has the queries by client and task, `dispersion` that of a client's counts."""
    worst, words = 0.0, ""
    planned = {
        (client, task): rate_qps * duration_s
        for client, rates in phase.asked_qps.items() for task, rate_qps in rates.items()
    }  # fmt: skip
    for client, task in sorted(planned.keys() | asked.keys()):
        due, came = planned.get((client, task), 0.0), asked.get((client, task), 0)
        spread = np.sqrt(max(1.0, dispersion.get(client, 1.0)) * max(due, 1.0))
        off = abs(came - due)
        if off > SURE * spread and off > DRIFT * due and off > worst:
            worst = off
            words = f"{task} of {client}, {came / duration_s:.3g}/s for {due / duration_s:.3g}/s"
    return {"": words} if words else {}


def _asked(rows: Measurements) -> Counter[tuple[str, str]]:
    return Counter((str(c), str(t)) for c, t in zip(rows.client, rows.task, strict=True))


def _dispersion(rows: Measurements) -> dict[str, float]:
    if rows.run.sent is None:
        return {}
    return {client: sent.dispersion_1s or 1.0 for client, sent in rows.run.sent.by_client.items()}


def _bursts(rows: Measurements, phase: Phase) -> dict[str, str]:
    if rows.run.sent is None:
        return {}
    worst, words = BURSTY, ""
    for client, sent in rows.run.sent.by_client.items():
        if sent.window_s is None or sent.dispersion_window is None:
            continue
        planned = phase.dispersion_of(client, sent.window_s)
        ratio = sent.dispersion_window / max(planned, 1e-9)
        if ratio > worst:
            worst = ratio
            words = f"those of {client}, dispersion {sent.dispersion_window:.3g} for {planned:.3g}"
    return {"": words} if words else {}


def _spilled(rows: Measurements) -> dict[str, str]:
    """Bursts that a plan is made for still fill its ways now and then (F17)."""
    full = [str(reason) for reason in RefusalReason if reason.is_full]
    share = float(np.isin(rows.reason, full).mean())
    return {"": f"{share:.1%} of the queries"} if share > SPILLED else {}


def _other_pictures(rows: Measurements, setting: Setting) -> dict[str, str]:
    """A model whose answers to a task score less or more than its card says, beyond chance."""
    worst, words = 0.0, ""
    answered = rows.answered
    pairs = sorted(set(zip(rows.model[answered], rows.task[answered], strict=True)))
    for model, task in pairs:
        stated = setting.accuracy.get(str(model), {}).get(str(task))
        these_q = answered & (rows.model == model) & (rows.task == task)
        score_q = rows.score[these_q]
        if stated is None or len(score_q) < 2:
            continue
        # Queries about one picture score alike, so pictures are counted.
        pictures = len(np.unique(rows.image[these_q]))
        off = float(score_q.mean()) - stated
        if abs(off) > SURE * float(score_q.std(ddof=1)) / np.sqrt(pictures) and abs(off) > worst:
            worst = abs(off)
            words = f"{model} scored {score_q.mean():.3f} at {task}, its card says {stated:.3f}"
    return {"": words} if words else {}
