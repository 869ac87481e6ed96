"""Draw a problem: a family's models, real devices and links, budgets that bite as the regime says.

Axis letters: c client, e edge, a attachment, t task, m model. Devices and links are measured; what
the operator grants this service (share of a device, memory, slice of a link) is set relative to the
drawn load, so that the regime's budget binds at every scale.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np

from planner.instances.library import DeviceClass, ModelLibrary, load_devices, load_library
from planner.instances.random_family import random_library
from planner.problem import FloatArray, Problem, ProblemError

__all__ = ["FAMILIES", "REGIMES", "Regime", "sample_problem"]

FAMILIES = ("taskonomy", "domainnet", "cityscapes3d", "random")
REFERENCE_GMACS = 4.089
MEDIAN_LOAD_QPS = 30.0
FARTHER = 0.6
"""Rate of the link to the next nearest edge, relative (F12)."""


@dataclass(frozen=True)
class Regime:
    """Budgets relative to need. Memory counts middling models; compute and links are the share
    of the load that could be served (by a middling model) or sent; ranges are drawn per node."""

    client_models: tuple[float, float]
    edge_models: tuple[float, float]
    client_compute: tuple[float, float]
    edge_compute: tuple[float, float]
    client_uplink: float
    edge_uplink: float
    radio: tuple[str, ...] = ("lte", "5g-low-band", "5g-mmwave")


REGIMES = {
    "mixed": Regime((1, 3), (2, 5), (0.3, 0.9), (0.3, 0.8), 0.8, 0.25),
    "memory": Regime((1, 1.5), (1.5, 2.5), (1.0, 2.0), (0.8, 1.5), 1.5, 0.3),
    "compute": Regime((2, 3), (4, 6), (0.1, 0.4), (0.15, 0.4), 1.5, 0.3),
    "communication": Regime((1, 3), (3, 6), (0.4, 1.0), (0.6, 1.2), 0.25, 0.05, ("lte-driving",)),
}


def sample_problem(
    family: str,
    regime: str = "mixed",
    edges: int = 4,
    clients_per_edge: int = 10,
    seed: int = 0,
    *,
    window_s: float = 0.2,
    models: int = 36,
    tasks: int = 5,
    cloud_capacity: float | None = None,
    reach: int = 1,
) -> Problem:
    """A problem of `family` (one of `FAMILIES`) under `regime` (one of `REGIMES`).

    `models` and `tasks` size the random family only. `cloud_capacity` is F8's budget as a share
    of the work of the whole load in the cloud; None leaves F8 out. With `reach` above 1 a client
    reaches that many edges (F12), see `_attach`; all else is as for 1. Raises `ProblemError` for
    an unknown family or regime, a count below one, or more edges to reach than there are.
    """
    _check(family, FAMILIES, "family")
    _check(regime, tuple(REGIMES), "regime")
    for name, count in (("edges", edges), ("clients_per_edge", clients_per_edge)):
        if count < 1:
            raise ProblemError(f"{name}: must be at least 1, got {count}")
    if not 1 <= reach <= edges:
        raise ProblemError(f"reach: must be from 1 to the {edges} edges, got {reach}")
    library = random_library(seed, models, tasks) if family == "random" else load_library(family)
    drawn = _draw(library, REGIMES[regime], edges, clients_per_edge, seed, window_s, cloud_capacity)
    return drawn if reach == 1 else _attach(drawn, reach, seed)


def _attach(problem: Problem, reach: int, seed: int) -> Problem:
    """Every client reaches its own edge and the nearest others on a map drawn from `seed`.

    The uplink is one radio, shared by all attachments; over the k-th nearest edge it carries at
    most `FARTHER` ** (k - 1) of what it carries to the client's own. The attachments for one
    reach are among those of every larger one.
    """
    rng = np.random.default_rng([seed, 13])
    C, E = len(problem.clients), len(problem.edges)
    place_e = rng.random((E, 2))
    place_c = place_e[problem.edge_of_a] + rng.normal(0, 0.5 / np.sqrt(E), (C, 2))
    distance_ce = np.linalg.norm(place_c[:, None] - place_e, axis=2)
    distance_ce[np.arange(C), problem.edge_of_a] = -1.0
    nearest_ce = np.argsort(distance_ce, axis=1, kind="stable")[:, :reach]
    quality_k = FARTHER ** np.arange(reach)
    return problem.changed(
        client_of_a=np.repeat(np.arange(C), reach),
        edge_of_a=nearest_ce.ravel(),
        uplink_a=(problem.client_uplink_c[:, None] * quality_k).ravel(),
        rtt_a=np.repeat(problem.rtt_a, reach),
    )


def _draw(
    library: ModelLibrary,
    regime: Regime,
    edges: int,
    clients_per_edge: int,
    seed: int,
    window_s: float,
    cloud_capacity: float | None,
) -> Problem:
    rng = np.random.default_rng([seed, 11])
    catalogue = load_devices()
    C, E, T = edges * clients_per_edge, edges, len(library.tasks)
    edge_of_c = np.repeat(np.arange(E), clients_per_edge)
    mix_ct = rng.dirichlet(np.full(T, 0.8), C)
    load_ct = MEDIAN_LOAD_QPS * rng.lognormal(0, 0.5, C)[:, None] * mix_ct
    load_c = load_ct.sum(axis=1)
    load_e = np.bincount(edge_of_c, weights=load_c, minlength=E)
    accuracy_mt = library.accuracy_mt()
    gmacs_m = np.array([model.gmacs for model in library.models])
    parameters_m = 1e6 * np.array([model.parameters_m for model in library.models])
    classes = catalogue.tier("client")
    device_c = [classes[k] for k in rng.integers(len(classes), size=C)]
    t4, a100 = catalogue.tier("edge")[0], catalogue.tier("cloud")[0]
    edge_setup_m, edge_marginal_m = _latency(t4, gmacs_m)
    cloud_setup_m, cloud_marginal_m = _latency(a100, gmacs_m)
    client_setup_cm, client_marginal_cm = _tables(device_c, gmacs_m)
    client_bytes_cm = np.array([device.bytes_per_parameter * parameters_m for device in device_c])
    middling = float(np.median(gmacs_m))
    middle_bytes = float(np.median(parameters_m))
    need_c = load_c * np.array([middling * device.s_per_gmac for device in device_c])
    grant_c = rng.uniform(*regime.client_compute, C) * need_c
    need_e = load_e * middling * t4.s_per_gmac + 3 * t4.setup_s / window_s
    grant_e = rng.uniform(*regime.edge_compute, E) * need_e
    sent_c = load_c * library.query_bytes
    radio = [catalogue.link(regime.radio[k]) for k in rng.integers(len(regime.radio), size=C)]
    link_c = np.array([link.draw_bytes_per_s(rng, 1)[0] for link in radio])
    slice_ = regime.client_uplink * float(np.median(sent_c)) / float(np.median(link_c))
    sent_e = load_e * library.query_bytes
    cloud_model_t = accuracy_mt.argmax(axis=0)
    cloud_cost_t = (cloud_setup_m + cloud_marginal_m)[cloud_model_t]
    whole_load_s = float((load_ct * cloud_cost_t).sum())
    return Problem(
        clients=tuple(f"client-{c}" for c in range(C)),
        edges=tuple(f"edge-{e}" for e in range(E)),
        cloud="cloud",
        tasks=library.tasks,
        models=tuple(model.name for model in library.models),
        edge_of_a=edge_of_c,
        load_ct=load_ct,
        accuracy_mt=accuracy_mt,
        client_memory_c=rng.uniform(*regime.client_models, C) * middle_bytes * 2,
        edge_memory_e=rng.uniform(*regime.edge_models, E) * middle_bytes * t4.bytes_per_parameter,
        client_model_bytes_cm=client_bytes_cm,
        edge_model_bytes_em=np.tile(t4.bytes_per_parameter * parameters_m, (E, 1)),
        client_compute_c=np.minimum(grant_c, 1.0),
        edge_compute_e=np.minimum(grant_e, 1.0),
        window_e=np.full(E, window_s),
        client_setup_cm=client_setup_cm,
        client_marginal_cm=client_marginal_cm,
        edge_setup_em=np.tile(edge_setup_m, (E, 1)),
        edge_marginal_em=np.tile(edge_marginal_m, (E, 1)),
        cloud_accuracy_t=accuracy_mt.max(axis=0),
        cloud_model_t=cloud_model_t,
        cloud_cost_t=cloud_cost_t,
        query_bytes_t=np.full(T, library.query_bytes),
        answer_bytes_t=np.full(T, library.answer_bytes),
        client_uplink_c=min(slice_, 1.0) * link_c,
        edge_uplink_e=rng.uniform(0.6, 1.4, E) * regime.edge_uplink * sent_e,
        cloud_compute=float("inf") if cloud_capacity is None else cloud_capacity * whole_load_s,
    )


def _latency(device: DeviceClass, gmacs_m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Setup (s per batch) and marginal (s per query) of every model on a device class."""
    return device.setup_s * np.sqrt(gmacs_m / REFERENCE_GMACS), device.s_per_gmac * gmacs_m


def _tables(devices: list[DeviceClass], gmacs_m: FloatArray) -> tuple[FloatArray, FloatArray]:
    rows = [_latency(device, gmacs_m) for device in devices]
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def _check(name: str, valid: tuple[str, ...], what: str) -> None:
    if name not in valid:
        near = difflib.get_close_matches(name, valid, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ProblemError(f"{what}: unknown {name!r}{hint} (valid: {', '.join(valid)})")
