"""The arrivals of a phase: when which client asks for which task.

Axes: n = arrival, s = stream, which is a client and a task (or several, asked of one image).

There are two sorts of processes. Some move a rate, and each stream is Poisson at its own rate
(poisson, mmpp, diurnal, flash_crowd). Others say when the next query of a client comes, whatever
it asks for; its task is then drawn by the mix at that time (gamma, replay).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cluster.arrivals import (
    ClosedLoop,
    DiurnalArrivals,
    FlashCrowd,
    GammaArrivals,
    MmppArrivals,
    ReplayArrivals,
)
from cluster.demand import EVERY_CLIENT, Phase
from serving.traffic.arrivals.diurnal import diurnal_factor
from serving.traffic.arrivals.flash_crowd import flash_crowd_factor
from serving.traffic.arrivals.gamma import unit_gamma
from serving.traffic.arrivals.mmpp import mmpp_factor
from serving.traffic.arrivals.poisson import unit_poisson
from serving.traffic.arrivals.replay import replay
from serving.traffic.arrivals.step_path import StepPath, constant, product, steps_of, total_of
from serving.traffic.arrivals.streams import Streams, Use

__all__ = ["PhaseArrivals", "Stream", "draw_arrivals", "rate_paths"]

Stream = tuple[str, str]
"""client, and task or bundle (`BundleLoad.name`)"""


@dataclass(frozen=True)
class PhaseArrivals:
    """What was drawn for a phase."""

    times_s: Mapping[Stream, NDArray[np.float64]]
    """seconds from the phase's start, rising"""
    how: Sequence[str] = field(default=())
    """how recorded traces were scaled"""


def draw_arrivals(
    phase: Phase, streams: Streams, load_factors: Mapping[str, StepPath] | None = None
) -> PhaseArrivals:
    """The queries of all clients of `phase` but those who wait for their answers.

    `load_factors` multiplies the rates of a client over the phase. Raises `InputError` for a trace
    that is too short.
    """
    paths = rate_paths(phase, load_factors or {})
    times_s: dict[Stream, NDArray[np.float64]] = {}
    how: list[str] = []
    by_client: dict[str, dict[Stream, StepPath]] = {}
    for stream, path in paths.items():
        by_client.setdefault(stream[0], {})[stream] = path
    for client in phase.rates_qps:
        process = phase.arrivals_of(client)
        own = by_client.get(client, {})
        if isinstance(process, ClosedLoop) or not own:
            continue
        if isinstance(process, GammaArrivals):
            total = total_of([own[stream] for stream in sorted(own)])
            generator = streams.of(Use.ARRIVALS, client)
            drawn = unit_gamma(generator, process.gap_shape, total.total)
            times_s |= _deal(total.times_s(drawn), own, streams.of(Use.MIX, client))
        elif isinstance(process, ReplayArrivals):
            if client in phase.arrivals:
                times_s |= _replay(process, own, streams, client, how)
        else:
            factor = _factor(process, streams, client, phase.duration_s)
            for (_, task), path in own.items():
                rate = path if factor is None else product([path, factor])
                drawn = unit_poisson(streams.of(Use.ARRIVALS, client, task), rate.total)
                times_s[client, task] = rate.times_s(drawn)
    recorded = phase.arrivals.get(EVERY_CLIENT)
    if isinstance(recorded, ReplayArrivals):
        shared = {stream: path for stream, path in paths.items() if stream[0] not in phase.arrivals}
        times_s |= _replay(recorded, shared, streams, "", how)
    return PhaseArrivals(times_s, how)


def rate_paths(phase: Phase, load_factors: Mapping[str, StepPath]) -> dict[Stream, StepPath]:
    """The mean rate of every stream over the phase, as the mix drifts and loads are scaled. Bundles
    do not drift."""
    paths: dict[Stream, StepPath] = {}
    for client, rates in phase.rates_qps.items():
        for task, start_qps in rates.items():
            path = _drift(start_qps, phase.end_qps(client, task), phase.duration_s)
            if client in load_factors:
                path = product([path, load_factors[client]])
            paths[client, task] = path
    for bundle in phase.bundles:
        path = constant(bundle.qps, phase.duration_s)
        if bundle.client in load_factors:
            path = product([path, load_factors[bundle.client]])
        paths[bundle.client, bundle.name] = path
    return paths


def _drift(start_qps: float, end_qps: float, duration_s: float) -> StepPath:
    if start_qps == end_qps:
        return constant(start_qps, duration_s)
    return steps_of(
        lambda times_s_k: start_qps + (end_qps - start_qps) * times_s_k / duration_s, duration_s
    )


def _factor(process: object, streams: Streams, client: str, duration_s: float) -> StepPath | None:
    if isinstance(process, MmppArrivals):
        own, follow = streams.of(Use.RATE, client), streams.of(Use.FOLLOW, client)
        return mmpp_factor(process, own, streams.of(Use.RATE), follow, duration_s)
    if isinstance(process, DiurnalArrivals):
        return diurnal_factor(process, duration_s)
    if isinstance(process, FlashCrowd):
        return flash_crowd_factor(process, duration_s)
    return None


def _replay(
    process: ReplayArrivals,
    paths: Mapping[Stream, StepPath],
    streams: Streams,
    client: str,
    how: list[str],
) -> dict[Stream, NDArray[np.float64]]:
    """Recorded arrivals for all `paths` together; `client` is empty if they are of several."""
    if not paths:
        return {}
    total = total_of([paths[stream] for stream in sorted(paths)])
    replayed = replay(process, streams.of(Use.ARRIVALS, client), total)
    how.append(f"{client or 'all clients'}: {replayed.how}")
    return _deal(replayed.times_s_n, paths, streams.of(Use.MIX, client))


def _deal(
    times_s_n: NDArray[np.float64],
    paths: Mapping[Stream, StepPath],
    generator: np.random.Generator,
) -> dict[Stream, NDArray[np.float64]]:
    """Give each arrival to one stream, drawn by the rates of that time."""
    order = sorted(paths)
    rates_qps_sn = np.stack([paths[stream].at(times_s_n) for stream in order])
    below_sn = np.cumsum(rates_qps_sn, axis=0)
    drawn_n = generator.random(len(times_s_n)) * below_sn[-1]
    # Rounding may put a draw on the last border, beyond the last stream.
    chosen_n = np.minimum((below_sn <= drawn_n).sum(axis=0), len(order) - 1)
    return {stream: times_s_n[chosen_n == s] for s, stream in enumerate(order)}
